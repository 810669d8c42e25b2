/** A certificate authority and a server certificate, made by openssl. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Certificates {
  /** All PEM. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const made = new Map<string, Promise<Certificates>>();

/**
 * Made once in a process for the same names.
 * @param hosts names and addresses that clients reach the server by
 * @throws when openssl is missing: install the package openssl
 */
export function makeCertificates(hosts: readonly string[]): Promise<Certificates> {
  const names = [...new Set([...hosts, 'localhost', '127.0.0.1', '::1', 'kubernetes.default.svc'])].sort();
  const id = names.join(',');
  let certificates = made.get(id);
  if (!certificates) {
    certificates = generate(names);
    certificates.catch(() => made.delete(id));
    made.set(id, certificates);
  }
  return certificates;
}

async function generate(names: readonly string[]): Promise<Certificates> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-apiserver-'));
  const file = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => run('openssl', args, { cwd: directory });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  try {
    const subject = ['-subj', '/CN=sluice-test-ca', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
    await openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '30', ...subject);
    await openssl('req', ...newKey, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=kube-apiserver');
    const san = names.map((name) => (isIP(name) ? `IP:${name}` : `DNS:${name}`)).join(',');
    await writeFile(
      file('ext'),
      `subjectAltName=${san}\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n`,
    );
    const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '30', '-extfile', 'ext'];
    await openssl('x509', '-req', '-in', 'server.csr', '-out', 'server.crt', ...sign);
    const [ca, cert, key] = await Promise.all(
      ['ca.crt', 'server.crt', 'server.key'].map((name) => readFile(file(name), 'utf8')),
    );
    return { ca: ca ?? '', cert: cert ?? '', key: key ?? '' };
  } catch (error) {
    throw new Error(`make certificates with openssl: ${(error as Error).message}: is the package openssl installed?`, {
      cause: error,
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
