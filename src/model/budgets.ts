/** How much of the node's tables Services may use (R-112): what is senior keeps its room, whatever others ask for. */

export interface Budgets {
  /** Part of each table that one Service may fill, in percent. */
  readonly servicePercent: number;
  /** Part of each table that the Services of one namespace may fill together, in percent. */
  readonly namespacePercent: number;
  /** What the cluster stands on: `namespace/name`, or `namespace/*`. The last rows of each table are kept for these. */
  readonly essential: readonly string[];
}

/** No honest cluster meets them: a single Service may have 65,536 frontends, a namespace 52,000 ServicePorts. */
export const DEFAULT_BUDGETS: Budgets = {
  servicePercent: 25,
  namespacePercent: 80,
  essential: ['default/kubernetes', 'kube-system/*'],
};

/** Part of each table that is kept for what is essential, in percent. */
export const ESSENTIAL_PERCENT = 2;

/** @param service `namespace/name` */
export function isEssential({ essential }: Budgets, service: string): boolean {
  return essential.includes(service) || essential.includes(`${service.slice(0, service.indexOf('/'))}/*`);
}
