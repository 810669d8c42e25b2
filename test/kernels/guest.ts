/** Runs inside the guest: the smoke test, reported line by line. */
import { openSync, writeSync } from 'node:fs';
import { release } from 'node:os';
import type { Check } from './check.ts';
import { loadChecks } from './load.ts';
import { nodeChecks } from './node.ts';
import { packetChecks } from './packets.ts';
import type { GuestLine } from './protocol.ts';
import { trafficChecks } from './traffic.ts';

const port = openSync('/dev/ttyS1', 'w');
const report = (line: GuestLine) => writeSync(port, `${JSON.stringify(line)}\n`);

async function runCheck({ name, run }: Check): Promise<boolean> {
  const start = performance.now();
  let ok = true;
  let detail = '';
  try {
    const said = await run();
    if (typeof said === 'string') detail = said;
  } catch (error) {
    ok = false;
    detail = error instanceof Error ? error.message : String(error);
  }
  report({ kind: 'check', name, ok, ms: Math.round(performance.now() - start), detail });
  return ok;
}

report({ kind: 'kernel', release: release() });
for (const group of [loadChecks(), nodeChecks(report), trafficChecks(), packetChecks()])
  for (const check of group) if (!(await runCheck(check)) && check.vital) break;
report({ kind: 'end' });
process.exit();
