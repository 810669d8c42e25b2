/** The functions of libbpf that are used, opened at first use: the CLI works without libbpf. */
import { seam } from '../model/seam.ts';
import { type CFunction, openLibrary, type Pointer, setErrno } from './ffi.ts';

const PROTOTYPES = {
  bpf_object__open_file: 'void *bpf_object__open_file(const char *path, void *opts)',
  bpf_object__load: 'int bpf_object__load(void *object)',
  bpf_object__close: 'void bpf_object__close(void *object)',
  bpf_object__next_map: 'void *bpf_object__next_map(void *object, void *map)',
  bpf_object__next_program: 'void *bpf_object__next_program(void *object, void *program)',
  bpf_object__btf: 'void *bpf_object__btf(void *object)',
  bpf_map__name: 'const char *bpf_map__name(void *map)',
  bpf_map__type: 'int bpf_map__type(void *map)',
  bpf_map__key_size: 'uint bpf_map__key_size(void *map)',
  bpf_map__value_size: 'uint bpf_map__value_size(void *map)',
  bpf_map__set_max_entries: 'int bpf_map__set_max_entries(void *map, uint entries)',
  bpf_map__reuse_fd: 'int bpf_map__reuse_fd(void *map, int fd)',
  bpf_map__fd: 'int bpf_map__fd(void *map)',
  bpf_map__initial_value: 'void *bpf_map__initial_value(void *map, void *size)',
  bpf_map__set_initial_value: 'int bpf_map__set_initial_value(void *map, void *data, size_t size)',
  bpf_program__name: 'const char *bpf_program__name(void *program)',
  bpf_program__set_autoload: 'int bpf_program__set_autoload(void *program, bool autoload)',
  bpf_program__set_log_buf: 'int bpf_program__set_log_buf(void *program, void *log, size_t size)',
  bpf_program__fd: 'int bpf_program__fd(void *program)',
  btf__find_by_name_kind: 'int btf__find_by_name_kind(void *btf, const char *name, uint kind)',
  btf__type_by_id: 'void *btf__type_by_id(void *btf, uint id)',
  btf__name_by_offset: 'const char *btf__name_by_offset(void *btf, uint offset)',
  libbpf_set_print: 'void *libbpf_set_print(void *print)',
  bpf_tc_hook_create: 'int bpf_tc_hook_create(void *hook)',
  bpf_tc_hook_destroy: 'int bpf_tc_hook_destroy(void *hook)',
  bpf_tc_attach: 'int bpf_tc_attach(void *hook, void *opts)',
  ring_buffer__new: 'void *ring_buffer__new(int fd, void *callback, void *context, void *opts)',
  ring_buffer__consume: 'int ring_buffer__consume(void *ring)',
  ring_buffer__free: 'void ring_buffer__free(void *ring)',
  bpf_tc_detach: 'int bpf_tc_detach(void *hook, void *opts)',
} as const;

export type Libbpf = Readonly<Record<keyof typeof PROTOTYPES, CFunction>>;
/** A `struct bpf_object *`, `bpf_map *` or `bpf_program *`; null at the end of an iteration. */
export type Handle = Exclude<Pointer, Buffer>;

let library: Libbpf | undefined;

/** @throws SluiceError LIBBPF_MISSING. */
export function libbpf(name = 'libbpf.so.1'): Libbpf {
  if (library !== undefined) return seam.fault === undefined ? library : withFaults(library);
  const opened = openLibrary(name, 'apt-get install libbpf1');
  const functions = Object.fromEntries(
    Object.entries(PROTOTYPES).map(([symbol, prototype]) => [symbol, opened.call(prototype)]),
  );
  functions.libbpf_set_print?.(null);
  library = functions as unknown as Libbpf;
  return seam.fault === undefined ? library : withFaults(library);
}

/** Those that ask the kernel, and tell an errno. */
const FALLIBLE: readonly (keyof Libbpf)[] = [
  'bpf_object__open_file',
  'bpf_object__load',
  'bpf_map__reuse_fd',
  'bpf_map__set_max_entries',
  'bpf_map__set_initial_value',
  'bpf_tc_hook_create',
  'bpf_tc_attach',
  'bpf_tc_detach',
];

/** The same, failing where the seam says so: with -errno, or with NULL and errno. */
function withFaults(functions: Libbpf): Libbpf {
  const faulty: Record<string, CFunction> = { ...functions };
  for (const name of FALLIBLE) {
    const call = functions[name];
    const failed = (): number | null | undefined => {
      const fault = seam.fault?.(name) ?? 0;
      if (fault === 0) return undefined;
      setErrno(fault);
      return name === 'bpf_object__open_file' ? null : -fault;
    };
    const wrapped = (...args: unknown[]): unknown => {
      const result = failed();
      return result === undefined ? call(...args) : result;
    };
    const { async: start } = call as unknown as { async: CFunction };
    faulty[name] = Object.assign(wrapped, {
      async(...args: unknown[]) {
        const result = failed();
        const done = args.at(-1) as (error: Error | null, result: unknown) => void;
        if (result === undefined) start.apply(call, args);
        else setImmediate(done, null, result);
      },
    });
  }
  return faulty as unknown as Libbpf;
}

/** Walks `bpf_object__next_map` or `bpf_object__next_program`. */
export function* each(object: Handle, next: CFunction): IterableIterator<Handle> {
  for (let at = next(object, null) as Handle; at !== null && at !== 0n; at = next(object, at) as Handle) yield at;
}
