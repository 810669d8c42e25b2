// Serves and dials inside a namespace, as told: a JSON object a line on standard input, answers on
// standard output (protocol.ts). Ends when its input ends, so that it never outlives who started it.
import { createInterface } from 'node:readline';
import { closeHandle, dialHttp, dialTcp, dialUdp, exchange, open, reconnect } from './dial.mjs';
import { resolve, setZone } from './dns.mjs';
import { startLoad } from './load.mjs';
import { drain, openConnections, serve, unserve } from './serve.mjs';

const loads = new Map();
let nextLoad = 1;

const operations = {
  serve,
  unserve,
  drain,
  openConnections,
  http: dialHttp,
  tcp: dialTcp,
  udp: dialUdp,
  open,
  exchange,
  reconnect,
  closeHandle,
  resolve,
  setZone: ({ zone }) => setZone(zone),
  load(args) {
    loads.set(nextLoad, startLoad(args));
    return nextLoad++;
  },
  loadReport: ({ handle }) => loads.get(handle).report(),
  loadStop: ({ handle }) => loads.get(handle).stop(),
  loadFinished: ({ handle }) => loads.get(handle).finished,
};

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const { id, operation, args } = JSON.parse(line);
    let answer;
    try {
      answer = { id, result: await operations[operation](args) };
    } catch (error) {
      answer = { id, error: error.message };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  })
  .on('close', () => process.exit(0));
