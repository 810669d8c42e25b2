/**
 * Where tests stand between the agent and the kernel: each call by which it asks something of the kernel is named
 * here first, and may be made to fail. Nobody stands there in production, and that costs a comparison with undefined.
 */

/** @param call e.g. `BPF_MAP_UPDATE_ELEM`, `bpf_object__load`, `ip` @returns the errno that it fails with; 0: it is made */
export type Fault = (call: string) => number;

export const seam: { fault: Fault | undefined } = { fault: undefined };
