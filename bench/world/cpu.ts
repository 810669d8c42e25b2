/** CPU time of the whole machine, softirqs included: what a packet costs is often not its process's time. */
import { readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** Seconds that all cores were busy since the machine started: without idle, waiting and stolen time. */
export function busySeconds(): number {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? '';
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

/** Runs something. @returns its value and the seconds of CPU that the machine spent meanwhile */
export async function withCpu<T>(work: () => Promise<T>): Promise<{ value: T; cpuSeconds: number }> {
  const before = busySeconds();
  const value = await work();
  return { value, cpuSeconds: busySeconds() - before };
}

/** How busy the machine is with other things: 0…1 of all cores, over some time. */
export async function backgroundLoad(cores: number, milliseconds = 1000): Promise<number> {
  const before = busySeconds();
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return (busySeconds() - before) / (milliseconds / 1000) / cores;
}

/** Resident memory of a process now and at most, MiB; and its CPU seconds. */
export function processUsage(pid: number): { residentMiB: number; peakMiB: number; cpuSeconds: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kilobytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return {
    residentMiB: kilobytes('VmRSS') / 1024,
    peakMiB: kilobytes('VmHWM') / 1024,
    cpuSeconds: ticks / TICKS_PER_SECOND,
  };
}
