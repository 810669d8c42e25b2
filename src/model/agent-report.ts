/** What the agent tells the command line of itself, through the map `report`: it can be read when the agent is dead. */
import type { Problem } from './compiled.ts';
import type { ConfigurationNote } from './configuration.ts';

/** Something that is amiss with the agent itself, or with what it stands on. */
export interface Condition {
  readonly what: string;
  readonly message: string;
  /** RFC 3339 */
  readonly since: string;
}

export interface AgentReport {
  readonly version: string;
  /** Name of the Node object. */
  readonly node: string;
  readonly pid: number;
  /** RFC 3339 */
  readonly started: string;
  /** Path of the KubeProxyConfiguration; null: all defaults. */
  readonly configurationFile: string | null;
  /** One for each key that the file writes. */
  readonly configuration: readonly ConfigurationNote[];
  /** What its command line came to, paths absolute: `sluice verify` wants the same. */
  readonly options?: object;
  /** Networks of ServiceCIDRs; null: the source does not tell them. */
  readonly serviceCidrs: readonly string[] | null;
  /** `--respect-netfilter` */
  readonly respectNetfilter?: boolean;
  /** Devices with addresses or a default route that nothing is attached to, and why; the first few. */
  readonly leftOut?: readonly { readonly device: string; readonly why: string }[];
  /** Where /healthz answers, e.g. `0.0.0.0:10256`. */
  readonly healthz: string;
  /** The API server that is asked, and when it said something last (RFC 3339); null: not yet. Absent: none is asked. */
  readonly api?: { readonly server: string; readonly lastHeard: string | null };
  /** What is amiss with the agent itself now. */
  readonly conditions?: readonly Condition[];
  /** What is wrong with Services and their endpoints now, as far as there is room. */
  readonly problems: readonly Problem[];
  /** So many more. */
  readonly moreProblems: number;
}

/** Writes the report over the view of the map, whose pieces lie one after another. @throws RangeError when it is too long. */
export function writeReport(view: Buffer, report: AgentReport): void {
  const text = Buffer.from(JSON.stringify(fitting(report, view.length)));
  if (text.length > view.length)
    throw new RangeError(`write the report: ${text.length} bytes, with room for ${view.length}`);
  text.copy(view);
  view.fill(0, text.length);
}

/** The same report with as many problems as there is room for. */
function fitting(report: AgentReport, room: number): AgentReport {
  const { problems } = report;
  const bytes = (part: unknown) => Buffer.byteLength(JSON.stringify(part));
  // The count of those left out may take some digits.
  let left = room - bytes({ ...report, problems: [] }) - 16;
  let kept = 0;
  for (const problem of problems) {
    left -= bytes(problem) + 1;
    if (left < 0) break;
    kept++;
  }
  const moreProblems = report.moreProblems + problems.length - kept;
  return { ...report, problems: problems.slice(0, kept), moreProblems };
}

/** @returns undefined when none was written, or it is being written. */
export function readReport(view: Buffer): AgentReport | undefined {
  const end = view.indexOf(0);
  try {
    return JSON.parse(view.toString('utf8', 0, end < 0 ? view.length : end)) as AgentReport;
  } catch {
    return undefined;
  }
}
