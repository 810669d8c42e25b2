// Requests one after another on several lanes, counted: how many were answered, by whom, how fast.
import { setTimeout as delay } from 'node:timers/promises';
import { dialHttp, dialTcp, dialUdp } from './dial.mjs';

const KEPT = 65_536;
const dialers = { http: dialHttp, tcp: dialTcp, udp: dialUdp };

function count(table, name) {
  table[name] = (table[name] ?? 0) + 1;
}

function percentiles(latencies) {
  const sorted = Float64Array.from(latencies).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: sorted.at(-1) ?? 0 };
}

export function startLoad({ protocol, concurrency = 4, rate, count: wanted = Infinity, ...dial }) {
  const dialer = dialers[protocol];
  const start = performance.now();
  const latencies = [];
  const errors = {};
  const who = {};
  let ok = 0;
  let failed = 0;
  let started = 0;
  let stopping = false;
  let end;

  const record = (probe) => {
    if (!probe.ok) {
      failed++;
      count(errors, probe.errno);
      return;
    }
    latencies[ok++ % KEPT] = probe.ms;
    count(who, probe.who);
  };
  const lane = async () => {
    while (!stopping && started < wanted) {
      const due = rate === undefined ? 0 : start + (started * 1000) / rate - performance.now();
      started++;
      if (due > 0) await delay(due);
      if (stopping) break;
      record(await dialer(dial));
    }
  };
  const report = () => {
    const seconds = ((end ?? performance.now()) - start) / 1000;
    return {
      ok,
      failed,
      errors,
      who,
      latency: percentiles(latencies),
      seconds,
      perSecond: ok / seconds,
      done: end !== undefined,
    };
  };
  const finished = Promise.all(Array.from({ length: concurrency }, lane)).then(() => {
    end = performance.now();
    return report();
  });
  const stop = () => {
    stopping = true;
    return finished;
  };
  return { report, stop, finished };
}
