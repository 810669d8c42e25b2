/** Names that two runs on one machine never share. */

/** Letters and digits only, short enough to be part of a namespace, cgroup and directory name. */
const valid = /^[a-z0-9]{1,12}$/;

/** @returns six characters; random, so that parallel runs and forks differ. */
export function newRunId(): string {
  return Math.floor(Math.random() * 36 ** 6)
    .toString(36)
    .padStart(6, '0');
}

/** @throws Error when the id cannot be part of the names that a run makes. */
export function checkRunId(id: string): string {
  if (!valid.test(id)) throw new Error(`use a run id of 1 to 12 lower-case letters and digits: got "${id}"`);
  return id;
}
