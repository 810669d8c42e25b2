/** What is compared: something that serves the same Services on a node of its own. */
import type { LabNode } from '../../test/support/lab/node.ts';
import type { ModelService } from '../rules/model.ts';
import type { World } from '../world/world.ts';

export type PartName = 'connect' | 'established' | 'northsouth' | 'packet' | 'control' | 'spread';

export interface Competitor {
  /** `iptables`: in results and tables. */
  readonly name: string;
  /** What it is, for the report. */
  readonly label: string;
  /** The parts that say something about it. */
  readonly parts: readonly PartName[];
  /** No balancer: clients dial the backends themselves. */
  readonly direct?: boolean;
  /** It works on the backends' node too, so it has one to itself: packets of the others pass no program of it. */
  readonly ownBackends?: boolean;
  /**
   * Serves the Services on its node, in place of those before; resolves when they are in force.
   * @throws NotAvailable when this machine or this build cannot do it
   */
  install(place: Place): Promise<void>;
  /** Starts its process from nothing and leaves it running; absent for what has none. */
  readonly controlPlane?: (place: Pick<Place, 'world' | 'node'>) => Promise<ControlPlane>;
}

export interface ControlPlane {
  readonly pid: number;
  /** @throws Error with what it said, when it has ended */
  check(): Promise<void>;
  /** Ends it and takes away what it wrote. */
  stop(): Promise<void>;
}

export interface Place {
  readonly world: World;
  readonly node: LabNode;
  readonly services: readonly ModelService[];
}

/** The competitor is reported as not run, with the reason. */
export class NotAvailable extends Error {}
