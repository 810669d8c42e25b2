/** The rules for Services that people break most, with the API's own messages. */
import { isIP } from 'node:net';
import type { Cause } from './errors.ts';
import type { KubeObject } from './resources.ts';

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];

export type Report = (field: string, reason: string, message: string) => void;

export const invalidValue = (value: unknown, why: string) => `Invalid value: ${JSON.stringify(value)}: ${why}`;

export function checkPort(report: Report, field: string, value: unknown): void {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > 65535) {
    report(field, 'FieldValueInvalid', invalidValue(value, 'must be between 1 and 65535, inclusive'));
  }
}

export function checkOneOf(report: Report, field: string, value: unknown, allowed: readonly string[]): void {
  if (typeof value === 'string' && allowed.includes(value)) return;
  const list = allowed.map((text) => `"${text}"`).join(', ');
  report(field, 'FieldValueNotSupported', `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`);
}

export function checkName(report: Report, name: string): void {
  if (!DNS_LABEL.test(name)) {
    report(
      'metadata.name',
      'FieldValueInvalid',
      invalidValue(name, "a DNS-1035 label must consist of lower case alphanumeric characters or '-'"),
    );
  }
}

/** @returns what is wrong with a Service whose defaults are set. */
export function validateService(service: KubeObject, previous: KubeObject | undefined): Cause[] {
  const causes: Cause[] = [];
  const report: Report = (field, reason, message) => causes.push({ field, reason, message });
  const { spec } = service;
  checkName(report, service.metadata.name);
  checkOneOf(report, 'spec.type', spec.type, TYPES);
  checkOneOf(report, 'spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']);
  for (const policy of ['internalTrafficPolicy', 'externalTrafficPolicy']) {
    if (spec[policy] !== undefined) checkOneOf(report, `spec.${policy}`, spec[policy], ['Cluster', 'Local']);
  }
  if (spec.sessionAffinity === 'ClientIP') {
    const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
    if (!Number.isInteger(seconds) || seconds < 1 || seconds > 86400) {
      const why = 'must be greater than 0 && less than or equal to 86400';
      report('spec.sessionAffinityConfig.clientIP.timeoutSeconds', 'FieldValueInvalid', invalidValue(seconds, why));
    }
  }
  if (spec.type === 'ExternalName' && !spec.externalName)
    report('spec.externalName', 'FieldValueRequired', 'Required value');
  const before = previous?.spec;
  if (before?.clusterIP && before.type !== 'ExternalName' && spec.type !== 'ExternalName') {
    if (spec.clusterIP !== before.clusterIP || (spec.clusterIPs?.[0] ?? spec.clusterIP) !== before.clusterIP) {
      report('spec.clusterIPs[0]', 'FieldValueInvalid', invalidValue(spec.clusterIP, 'field is immutable'));
    }
  }
  checkAddresses(report, spec);
  checkPorts(report, spec);
  return causes;
}

function checkAddresses(report: Report, spec: KubeObject): void {
  for (const [i, address] of list(spec.externalIPs).entries()) {
    if (typeof address !== 'string' || isIP(address) === 0) {
      report(`spec.externalIPs[${i}]`, 'FieldValueInvalid', invalidValue(address, 'must be a valid IP address'));
    }
  }
  for (const [i, address] of list(spec.clusterIPs).entries()) {
    if (address === 'None' || (typeof address === 'string' && isIP(address) !== 0)) continue;
    report(`spec.clusterIPs[${i}]`, 'FieldValueInvalid', invalidValue(address, 'must be a valid IP address'));
  }
  for (const [i, range] of list(spec.loadBalancerSourceRanges).entries()) {
    const [address = '', bits = ''] = String(range).trim().split('/');
    const width = isIP(address) === 4 ? 32 : isIP(address) === 6 ? 128 : -1;
    if (!/^\d{1,3}$/.test(bits) || Number(bits) > width) {
      report(
        `spec.LoadBalancerSourceRanges[${i}]`,
        'FieldValueInvalid',
        invalidValue(range, 'must be a valid CIDR value'),
      );
    }
  }
}

function checkPorts(report: Report, spec: KubeObject): void {
  const ports = list(spec.ports) as KubeObject[];
  const headless = spec.clusterIP === 'None';
  if (ports.length === 0 && !headless && spec.type !== 'ExternalName')
    report('spec.ports', 'FieldValueRequired', 'Required value');
  const names = new Set<unknown>();
  const numbers = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const field = `spec.ports[${i}]`;
    if (typeof port !== 'object' || port === null) {
      report(field, 'FieldValueInvalid', invalidValue(port, 'must be an object'));
      continue;
    }
    checkPort(report, `${field}.port`, port.port);
    checkOneOf(report, `${field}.protocol`, port.protocol, PROTOCOLS);
    if (!port.name) {
      if (ports.length > 1) report(`${field}.name`, 'FieldValueRequired', 'Required value');
    } else if (typeof port.name !== 'string' || !DNS_LABEL.test(port.name)) {
      report(`${field}.name`, 'FieldValueInvalid', invalidValue(port.name, 'must be a DNS label'));
    } else if (names.has(port.name)) {
      report(`${field}.name`, 'FieldValueDuplicate', `Duplicate value: ${JSON.stringify(port.name)}`);
    }
    names.add(port.name);
    const number = `${port.protocol}/${port.port}`;
    if (numbers.has(number))
      report(
        field,
        'FieldValueDuplicate',
        `Duplicate value: ${JSON.stringify({ port: port.port, protocol: port.protocol })}`,
      );
    numbers.add(number);
    if (port.nodePort === undefined) continue;
    if (spec.type === 'ClusterIP') {
      report(`${field}.nodePort`, 'FieldValueForbidden', "Forbidden: may not be used when `type` is 'ClusterIP'");
    } else if (!Number.isInteger(port.nodePort) || port.nodePort < 30000 || port.nodePort > 32767) {
      const why = 'provided port is not in the valid range. The range of valid ports is 30000-32767';
      report(`${field}.nodePort`, 'FieldValueInvalid', invalidValue(port.nodePort, why));
    }
  }
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
