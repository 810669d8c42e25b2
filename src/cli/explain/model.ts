/** What `sluice explain` answers. */
import type { FlowRow } from '../views/flows.ts';
import type { Client } from './client.ts';
import type { Rehearsing } from './rehearse.ts';
import type { Request } from './request.ts';

export type Verdict = 'forwarded' | 'refused' | 'dropped' | 'left';

export interface DialledFrontend {
  readonly namespace: string;
  readonly name: string;
  /** spec.ports[].name */
  readonly port: string;
  readonly types: readonly string[];
  readonly servicePortId: number;
  /** FRONTEND_* */
  readonly flags: number;
  readonly affinitySeconds: number;
}

export interface ExplainedBackend {
  readonly address: string;
  readonly port: number;
  /** That a new connection gets it, 0 to 1. */
  readonly chance: number;
  readonly lists: readonly ('cluster' | 'local')[];
  /** Why it is in the client's list, or out of it. */
  readonly why: string;
  /** On this node. */
  readonly local: boolean;
  /** Only of those that a new connection may get. */
  readonly path?: 'socket' | 'stack' | 'redirect' | 'dsr';
  /** What the backend sees as its client, where that is not the client; its port is chosen with the connection. */
  readonly sourceNat?: string;
  readonly whySource?: string;
  readonly device?: string;
  readonly gateway?: string;
  /** Why a connection to it fails, a name of `enum reason`. */
  readonly fails?: string;
}

export interface Explanation {
  readonly from: Request['from'] & Client;
  readonly to: Request['to'];
  readonly verdict: Verdict;
  /** Name in `enum reason`; undefined where nothing is counted. */
  readonly reason?: string;
  readonly why: string;
  readonly advice?: string;
  readonly frontend?: DialledFrontend;
  /** Whether the socket hook or the packet path decides. */
  readonly by?: 'socket' | 'packets';
  /** The list that the client is given, and why that one. */
  readonly list?: { readonly name: 'cluster' | 'local'; readonly side: 'inside' | 'outside'; readonly why: string };
  /** The backend that affinity keeps for the client. */
  readonly affinity?: { readonly backend: string; readonly secondsLeft: number };
  /** That has the packet already: it decides. */
  readonly flow?: FlowRow;
  readonly backends: readonly ExplainedBackend[];
  /** What the agent refused of the Service, or about the address. */
  readonly problems: readonly string[];
  /** What the real programs did with the first packet; only with --run. */
  readonly run?: Rehearsing;
  /** What could not be looked at, or decides beside all this. */
  readonly notes: readonly string[];
}
