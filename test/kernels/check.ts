/** One line of a kernel's table. */
export interface Check {
  readonly name: string;
  /** Without it none of its group that follows makes sense. */
  readonly vital?: boolean;
  /** @returns text that is worth to be read beside "ok", if any. @throws Error that says what is wrong */
  readonly run: () => Promise<unknown>;
}

/** How long a guest may take for one step: it is emulated, on a machine that has other work. */
export const PATIENCE_MS = 240_000;
