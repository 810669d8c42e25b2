/**
 * Errors that a person reads. Each has a stable code, says verb and object ("attach tcx ingress to
 * eth0: …") and what to do; the cause stays attached.
 */
export type ErrorCode =
  | 'CONFIG_INVALID'
  | 'FLAG_INVALID'
  | 'KERNEL_FEATURE'
  | 'PERMISSION'
  | 'BPFFS_MISSING'
  | 'CGROUP_MISSING'
  | 'LIBBPF_MISSING'
  | 'OBJECT_MISSING'
  | 'LOAD_FAILED'
  | 'ATTACH_FAILED'
  | 'MAP_FAILED'
  | 'MAP_FULL'
  | 'SCHEMA_MISMATCH'
  | 'NOT_RUNNING'
  | 'STATE_LOCKED'
  | 'SOURCE_INVALID'
  | 'NODE_INVALID'
  | 'LISTEN_FAILED'
  | 'OUTPUT_FAILED';

export class SluiceError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'SluiceError';
    this.code = code;
  }
}
