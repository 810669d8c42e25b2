/** The rules for EndpointSlices that people break most. */
import { isIPv4, isIPv6 } from 'node:net';
import type { Cause } from './errors.ts';
import type { KubeObject } from './resources.ts';
import { checkOneOf, checkPort, invalidValue, type Report } from './validate-service.ts';

export function validateSlice(slice: KubeObject, previous: KubeObject | undefined): Cause[] {
  const causes: Cause[] = [];
  const report: Report = (field, reason, message) => causes.push({ field, reason, message });
  checkOneOf(report, 'addressType', slice.addressType, ['FQDN', 'IPv4', 'IPv6']);
  if (previous !== undefined && previous.addressType !== slice.addressType) {
    report('addressType', 'FieldValueInvalid', invalidValue(slice.addressType, 'field is immutable'));
  }
  const endpoints = Array.isArray(slice.endpoints) ? slice.endpoints : [];
  if (endpoints.length > 1000)
    report('endpoints', 'FieldValueTooMany', `Too many: ${endpoints.length}: must have at most 1000 items`);
  for (const [i, endpoint] of endpoints.entries()) {
    const addresses = endpoint?.addresses;
    if (!Array.isArray(addresses) || addresses.length === 0) {
      report(`endpoints[${i}].addresses`, 'FieldValueRequired', 'Required value: must contain at least 1 address');
      continue;
    }
    for (const [j, address] of addresses.entries()) {
      const valid =
        slice.addressType === 'IPv4'
          ? isIPv4(address)
          : slice.addressType === 'IPv6'
            ? isIPv6(address)
            : typeof address === 'string';
      const why = `must be a valid ${slice.addressType} address`;
      if (!valid) report(`endpoints[${i}].addresses[${j}]`, 'FieldValueInvalid', invalidValue(address, why));
    }
  }
  const ports = Array.isArray(slice.ports) ? slice.ports : [];
  if (ports.length > 100)
    report('ports', 'FieldValueTooMany', `Too many: ${ports.length}: must have at most 100 items`);
  for (const [i, port] of ports.entries()) {
    if (typeof port?.port === 'number') checkPort(report, `ports[${i}].port`, port.port);
    checkOneOf(report, `ports[${i}].protocol`, port?.protocol, ['SCTP', 'TCP', 'UDP']);
  }
  return causes;
}

/** Changes the slice, which must be the caller's own copy. */
export function setSliceDefaults(slice: KubeObject): void {
  slice.endpoints ??= [];
  if (!Array.isArray(slice.ports)) return;
  for (const port of slice.ports) {
    if (typeof port !== 'object' || port === null) continue;
    port.protocol ??= 'TCP';
    port.name ??= '';
  }
}
