/** Runs inside the guest: the smoke test, reported line by line. */
import { openSync, writeSync } from 'node:fs';
import { release } from 'node:os';
import type { Check } from './check.ts';
import { deviceChecks } from './devices.ts';
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
/** In this order. The kernel hands what it does not know of its command line to init: so CHECKS arrives here. */
const groups = {
  load: loadChecks,
  node: () => nodeChecks(report),
  lab: trafficChecks,
  devices: deviceChecks,
  packets: packetChecks,
};
const chosen = process.env.CHECKS?.split(',') ?? Object.keys(groups);
for (const [name, checks] of Object.entries(groups))
  for (const check of chosen.includes(name) ? checks() : []) if (!(await runCheck(check)) && check.vital) break;
report({ kind: 'end' });
process.exit();
