/** The kernels that `make test-kernels` boots: Debian's own, of the releases that are in use. */

export interface KernelSource {
  /** What the command line calls it. */
  readonly name: string;
  readonly archive: 'debian' | 'debian-security';
  readonly suite: string;
  /** A metapackage: the newest build of that kernel. The cloud flavour has all that is needed and is half as big. */
  readonly package: string;
}

export const KERNELS: readonly KernelSource[] = [
  { name: '5.10', archive: 'debian-security', suite: 'bullseye-security', package: 'linux-image-cloud-amd64' },
  { name: '6.1', archive: 'debian-security', suite: 'bookworm-security', package: 'linux-image-cloud-amd64' },
  { name: '6.12', archive: 'debian-security', suite: 'trixie-security', package: 'linux-image-cloud-amd64' },
  { name: 'backports', archive: 'debian', suite: 'trixie-backports', package: 'linux-image-cloud-amd64' },
];

/** @throws Error that names the kernels there are. */
export function chooseKernels(names: readonly string[]): KernelSource[] {
  if (names.length === 0) return [...KERNELS];
  return names.map((name) => {
    const kernel = KERNELS.find((candidate) => candidate.name === name);
    if (kernel !== undefined) return kernel;
    throw new Error(`choose kernel ${name}: there are ${KERNELS.map((candidate) => candidate.name).join(', ')}`);
  });
}
