/**
 * The API server as a process, e.g. inside a network namespace:
 * `npx tsx test/support/apiserver/main.ts --port 6443 --address 10.0.0.1 --kubeconfig out.yaml`
 */
import { Command, Option } from 'commander';
import { NODE_PROXIER_RULES } from './auth.ts';
import { readManifests } from './manifests.ts';
import { resourceOfObject } from './resources.ts';
import { startApiServer } from './server.ts';

const collect = (value: string, all: string[]) => [...all, value];

const options = new Command('apiserver')
  .description('An embedded Kubernetes API server for tests and demos')
  .option('--port <port>', 'port to listen on', Number, 6443)
  .option('--listen <address>', 'address to listen on; :: is every address of both families', '::')
  .option(
    '--address <address>',
    'address that clients use, for the certificate and the kubeconfig (repeatable)',
    collect,
    [],
  )
  .option('--kubeconfig <file>', 'write a kubeconfig of the user admin')
  .option('--proxier-kubeconfig <file>', 'write a kubeconfig of a user with the role system:node-proxier')
  .option('--manifests <directory>', 'objects to apply at the start')
  .option('--service-cidr <cidr>', 'network of cluster IPs; the first is the primary family (repeatable)', collect, [])
  .option('--load-balancer-cidr <cidr>', 'network of load-balancer IPs (repeatable)', collect, [])
  .addOption(
    new Option('--validation <mode>', 'off stores any object as it comes').choices(['on', 'off']).default('on'),
  )
  .parse()
  .opts();

const addresses: string[] = options.address.length > 0 ? options.address : ['127.0.0.1'];
/** One line on stderr, and status 1. */
function fail(error: unknown): never {
  process.stderr.write(`apiserver: ${(error as Error).message}\n`);
  process.exit(1);
}

const server = await startApiServer({
  port: options.port,
  host: options.listen,
  addresses,
  ...(options.serviceCidr.length > 0 ? { serviceCidrs: options.serviceCidr } : {}),
  loadBalancerCidrs: options.loadBalancerCidr,
  validation: options.validation,
  authorize: { 'system:kube-proxy': NODE_PROXIER_RULES },
}).catch(fail);

let applied = 0;
if (options.manifests) {
  for (const object of await readManifests(options.manifests).catch(fail)) {
    if (!resourceOfObject(object)) continue;
    try {
      server.store.apply(object);
    } catch (error) {
      fail(error);
    }
    applied++;
  }
}
if (options.kubeconfig) await server.writeKubeconfig(options.kubeconfig);
if (options.proxierKubeconfig) await server.writeKubeconfig(options.proxierKubeconfig, { user: 'system:kube-proxy' });

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    void server.close().then(() => process.exit(0));
  });
}
process.stdout.write(`${JSON.stringify({ msg: 'ready', url: server.url, objects: applied })}\n`);
