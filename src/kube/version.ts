/** resourceVersions are decimal numbers of any size: comparable since Kubernetes 1.35, and in practice long before. */

const DECIMAL = /^[1-9]\d*$/;

/** @returns true when both are decimal numbers and `version` is the smaller: the server's state went back in time. */
export function isOlder(version: string | undefined, than: string | undefined): boolean {
  if (version === undefined || than === undefined || !DECIMAL.test(version) || !DECIMAL.test(than)) return false;
  if (version.length !== than.length) return version.length < than.length;
  return version < than;
}
