/** Points in time as people give them and read them: in the time zone of the process. */
import { usageError } from './errors.ts';

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DAY_MS = 86_400_000;

/**
 * @param text `10:37`, `10:37:05`, `5m` (ago; `1h30m` as well), or RFC 3339; a time of day is the last one that has been
 * @param option for the message, e.g. `--since`
 * @returns milliseconds since the epoch. @throws SluiceError FLAG_INVALID
 */
export function parseMoment(text: string, option: string, now: number): number {
  const [, hours, minutes, seconds = '0'] = /^(\d{1,2}):(\d\d)(?::(\d\d))?$/.exec(text) ?? [];
  if (hours !== undefined && Number(hours) < 24 && Number(minutes) < 60 && Number(seconds) < 60) {
    const today = new Date(now).setHours(Number(hours), Number(minutes), Number(seconds), 0);
    return today <= now ? today : today - DAY_MS;
  }
  if (/^(\d+[smhd])+$/.test(text)) {
    const ago = [...text.matchAll(/(\d+)([smhd])/g)].reduce(
      (sum, [, n, unit = '']) => sum + Number(n) * (UNITS[unit] ?? 0),
      0,
    );
    return now - ago;
  }
  const written = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(written)) return written;
  throw usageError(`${option}: '${text}' is no time; give e.g. 10:37, 5m (ago) or 2026-05-01T10:37:00Z`);
}

const two = (number: number) => String(number).padStart(2, '0');

/** @returns e.g. `2026-05-01 10:37:02`: in the time zone of the process. */
export function momentText(ms: number): string {
  const date = new Date(ms);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** @returns e.g. `12ms`, `1.5s`, `3m10s`; "" for nothing. */
export function latencyText(ms: number | undefined): string {
  if (ms === undefined) return '';
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)}s`;
  return `${Math.floor(ms / 60_000)}m${Math.round((ms % 60_000) / 1000)}s`;
}
