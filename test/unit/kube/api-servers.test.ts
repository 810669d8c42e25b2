import { expect, test } from 'vitest';
import { apiServerAddresses } from '../../../src/kube/api-servers.ts';

const of = (server: string) => [server];
const resolver = async () => [{ address: '192.0.2.1' }, { address: 'FD00::1' }];

test.each([
  ['https://192.0.2.100:6443', [{ address: '192.0.2.100', port: 6443 }]],
  ['https://[FD00:0::5]/prefix', [{ address: 'fd00::5', port: 443 }]],
  [
    'https://api.example:8443',
    [
      { address: '192.0.2.1', port: 8443 },
      { address: 'fd00::1', port: 8443 },
    ],
  ],
  ['nonsense', []],
])('%s', async (server, addresses) => {
  expect(await apiServerAddresses(of(server), resolver)).toEqual(addresses);
});

test('a name that does not resolve is no fault of the start', async () => {
  expect(await apiServerAddresses(of('https://api.example'), () => Promise.reject(new Error('no')))).toEqual([]);
});
