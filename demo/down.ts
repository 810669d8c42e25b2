/** `make demo-down`: removes every trace of a demo that was kept. */

import { takeDown } from './take-down.ts';
import { say } from './terminal.ts';

try {
  say((await takeDown()) ? 'The demo is gone.' : 'There is no demo to remove.');
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
