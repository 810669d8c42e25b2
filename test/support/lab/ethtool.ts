/** Offloads of a device in a namespace of the lab, by SIOCETHTOOL: what `ethtool -K` sets. */
import koffi from 'koffi';
import { within } from './within.ts';

const libc = koffi.load('libc.so.6');
const closeFile = libc.func('int close(int fd)');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCETHTOOL = 0x8946;
/** ETHTOOL_STXCSUM. */
const COMMANDS = { 'tx-checksumming': 0x17 } as const;

/** @throws Error when there is no such namespace, or the kernel refuses. */
export function setOffload(netns: string, device: string, feature: keyof typeof COMMANDS, on: boolean): void {
  const result = within(netns, () => setHere(device, COMMANDS[feature], on));
  if (result !== 0) throw new Error(`set ${feature} of ${device} in ${netns}: the kernel refused`);
}

/** struct ethtool_value, and struct ifreq: a name and a pointer to it. */
function setHere(device: string, command: number, on: boolean): number {
  const value = Buffer.alloc(8);
  value.writeUInt32LE(command, 0);
  value.writeUInt32LE(on ? 1 : 0, 4);
  const request = Buffer.alloc(40);
  request.write(device, 0, 15, 'latin1');
  request.writeBigUInt64LE(koffi.address(value), 16);
  const fd = socket(AF_INET, SOCK_DGRAM, 0);
  const result: number = ioctl(fd, SIOCETHTOOL, request);
  closeFile(fd);
  return result;
}
