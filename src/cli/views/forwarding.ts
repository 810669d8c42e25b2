/** How packets from outside reach backends on other nodes: the node's mode, and what frontends have. */
import {
  control,
  FRONTEND_CLUSTER_IP,
  FRONTEND_DSR,
  FRONTEND_EXTERNAL_LOCAL,
  frontend,
} from '../../../maps-schema/gen/codecs.ts';
import type { KernelArray, KernelHash } from '../../bpf/kernel-map.ts';
import {
  DSR_ENCAPSULATIONS,
  type DsrEncapsulation,
  FORWARDING_MODES,
  type ForwardingMode,
} from '../../model/forwarding.ts';

export interface ForwardingView {
  /** Of Services that choose none. */
  readonly mode: ForwardingMode;
  readonly encapsulation: DsrEncapsulation;
  /** Frontends whose backends elsewhere answer directly, and those whose packets are source-NATed. */
  readonly dsr: number;
  readonly snat: number;
}

export interface ForwardingMaps {
  readonly control: Pick<KernelArray, 'view'>;
  readonly frontends: Pick<KernelHash, 'entries'>;
}

export function readForwarding(maps: ForwardingMaps): ForwardingView {
  const { forwardingMode, dsrEncapsulation } = control.read(maps.control.view, 0);
  let dsr = 0;
  let snat = 0;
  for (const { value } of maps.frontends.entries()) {
    const { flags } = frontend.read(value, 0);
    if (flags & FRONTEND_DSR) dsr++;
    // Others have no backends elsewhere for clients outside.
    else if ((flags & (FRONTEND_CLUSTER_IP | FRONTEND_EXTERNAL_LOCAL)) === 0) snat++;
  }
  return {
    mode: FORWARDING_MODES[forwardingMode] ?? 'snat',
    encapsulation: DSR_ENCAPSULATIONS[dsrEncapsulation] ?? 'geneve',
    dsr,
    snat,
  };
}

export function forwardingText({ mode, encapsulation, dsr, snat }: ForwardingView): string {
  return `${mode}${dsr > 0 || mode !== 'snat' ? ` (${encapsulation})` : ''}  frontends: ${dsr} dsr, ${snat} snat`;
}
