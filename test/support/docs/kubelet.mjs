/**
 * What a kubelet and the controller of DaemonSets do, as far as the pages need it: starts the agent of a DaemonSet on this node
 * with the arguments, environment and ConfigMap of its template, starts it again when the template changes or it ends, and
 * writes the Pod and the status. A DaemonSet of another program has a Pod in name alone.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';

const NODE = process.argv[2];
const NAMESPACE = 'kube-system';
const { clusters, users } = parse(readFileSync(process.env.KUBECONFIG, 'utf8'));
const { server, 'certificate-authority-data': authority } = clusters[0].cluster;
const { token } = users[0].user;

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const ca = Buffer.from(authority, 'base64');
    const request = https.request(`${server}${path}`, { method, headers, ca }, (answer) => {
      let text = '';
      answer.on('data', (part) => {
        text += part;
      });
      answer.on('end', () => resolve({ code: answer.statusCode, body: text === '' ? {} : JSON.parse(text) }));
    });
    request.on('error', reject);
    request.end(body && JSON.stringify(body));
  });
}

const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
const SETS = `/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets`;
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
mkdirSync(ACCOUNT, { recursive: true });
writeFileSync(`${ACCOUNT}/token`, token);
writeFileSync(`${ACCOUNT}/ca.crt`, Buffer.from(authority, 'base64'));
writeFileSync(`${ACCOUNT}/namespace`, NAMESPACE);

/** By name of the DaemonSet: what runs. */
const running = new Map();
let pods = 0;

async function start(set) {
  const { template } = set.spec;
  const name = `${set.metadata.name}-${String(++pods).padStart(5, '0')}`;
  const run = {
    template: JSON.stringify(template),
    name,
    labels: template.metadata.labels,
    child: undefined,
    over: false,
  };
  running.set(set.metadata.name, run);
  const [container] = template.spec.containers;
  await call('POST', PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NAMESPACE, labels: run.labels },
    spec: { nodeName: NODE, hostNetwork: true, containers: [{ name: container.name, image: container.image }] },
    status: { phase: 'Running' },
  });
  if (container.args?.[0] === 'agent') await startAgent(template.spec, container, run);
}

async function startAgent(spec, container, run) {
  for (const { name, mountPath } of container.volumeMounts ?? []) {
    const { configMap } = spec.volumes.find((volume) => volume.name === name) ?? {};
    if (configMap === undefined) continue;
    const { body } = await call('GET', `/api/v1/namespaces/${NAMESPACE}/configmaps/${configMap.name}`);
    mkdirSync(mountPath, { recursive: true });
    for (const [file, text] of Object.entries(body.data)) writeFileSync(`${mountPath}/${file}`, text);
  }
  const [{ args: prepare }] = spec.initContainers;
  const onNode = prepare.map((word) => word.replace('/host/cgroup', '/sys/fs/cgroup'));
  execFileSync('node', ['/root/sluice/tools/image/prepare-node.mjs', ...onNode]);
  const own = container.env.map(({ name, value, valueFrom }) => [name, valueFrom === undefined ? value : NODE]);
  const env = { PATH: process.env.PATH, HOME: '/root', ...Object.fromEntries(own) };
  const args = container.args.map((word) => word.replace('$(NODE_NAME)', NODE));
  const again = () => {
    if (run.over) return;
    run.child = spawn('/root/sluice/bin/sluice', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    run.child.stdout.pipe(createWriteStream('/var/log/agent.log', { flags: 'a' }));
    run.child.on('exit', () => setTimeout(again, 1000));
  };
  again();
}

async function stop(key) {
  const run = running.get(key);
  running.delete(key);
  run.over = true;
  if (run.child && run.child.exitCode === null && run.child.signalCode === null) {
    const gone = new Promise((resolve) => run.child.once('exit', resolve));
    run.child.kill('SIGTERM');
    await gone;
  }
  await call('DELETE', `${PODS}/${run.name}`);
}

const ready = () =>
  fetch('http://127.0.0.1:10256/readyz').then(
    ({ ok }) => ok,
    () => false,
  );

/** The lab's Node has no labels but its own: those that every node has are taken as given. */
const isHere = ({ nodeSelector = {} }) => Object.keys(nodeSelector).every((key) => key === 'kubernetes.io/os');

async function look() {
  const { body } = await call('GET', SETS);
  const sets = body.items ?? [];
  const wanted = sets.filter(({ spec }) => isHere(spec.template.spec));
  for (const key of [...running.keys()]) {
    const set = wanted.find(({ metadata }) => metadata.name === key);
    if (set === undefined || JSON.stringify(set.spec.template) !== running.get(key).template) await stop(key);
  }
  for (const set of wanted) if (!running.has(set.metadata.name)) await start(set);
  for (const set of sets) {
    const run = running.get(set.metadata.name);
    const scheduled = run === undefined ? 0 : 1;
    const up = run === undefined ? 0 : run.child === undefined || (await ready()) ? 1 : 0;
    const status = {
      observedGeneration: set.metadata.generation,
      currentNumberScheduled: scheduled,
      desiredNumberScheduled: scheduled,
      updatedNumberScheduled: scheduled,
      numberAvailable: up,
      numberReady: up,
      numberMisscheduled: 0,
    };
    if (isDeepStrictEqual(status, set.status)) continue;
    await call('PUT', `${SETS}/${set.metadata.name}/status`, { ...set, status });
  }
}

const loop = () =>
  look()
    .catch((error) => console.error(`kubelet: ${error.stack}`))
    .finally(() => setTimeout(loop, 200));
loop();
