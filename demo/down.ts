/** `make demo-down`: removes every trace of a demo that was kept. */

import { takeDown } from './take-down.ts';
import { say } from './terminal.ts';

say((await takeDown()) ? 'The demo is gone.' : 'There is no demo to remove.');
