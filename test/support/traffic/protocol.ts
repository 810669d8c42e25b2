/** What is asked of an actor process, and what it answers: a JSON object a line each way. */

/** How one attempt to reach something went. */
export interface Probe {
  readonly ok: boolean;
  /** ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, …; for HTTP also `HTTP<status>`; undefined when ok. */
  readonly errno?: string;
  /** Milliseconds until the answer or the error. */
  readonly ms: number;
  /** The name that the answering server was given. */
  readonly who?: string;
  /** The client's address and port as the server saw them; IPv4 without `::ffff:`. */
  readonly seenSource?: string;
  readonly seenPort?: number;
  /** The server's own address and port, where it knows them. */
  readonly serverAddress?: string;
  readonly serverPort?: number;
  /** What the client's socket says of its two ends, after the connection. */
  readonly localAddress?: string;
  readonly localPort?: number;
  readonly peerAddress?: string;
  readonly peerPort?: number;
  readonly status?: number;
  /** Bytes of the answer's payload. */
  readonly bytes?: number;
}

export interface ServeOptions {
  /** Answered as `who`; default: the name of the host. */
  readonly who?: string;
  /** Ports for HTTP: JSON of who and from where; `/slow?ms=`, `/stream?ms=&every=`, `/bytes?n=`, `/close`. */
  readonly http?: readonly number[];
  /** Ports for TCP: one JSON line, then an echo of every byte. */
  readonly tcp?: readonly number[];
  /** Ports for UDP: a JSON datagram of who, from where, and how many bytes came. */
  readonly udp?: readonly number[];
  /** Ports for DNS over UDP and TCP, from the table of `setZone`; TXT of `who.answers` is the server's name. */
  readonly dns?: readonly number[];
  /** Addresses to listen on; default `0.0.0.0` and `::` (apart from each other). */
  readonly addresses?: readonly string[];
  /** Milliseconds before each answer. */
  readonly delayMs?: number;
}

export interface DialOptions {
  /** Default 2,000. */
  readonly timeoutMs?: number;
  /** Source port; default: the kernel's choice. */
  readonly localPort?: number;
  readonly localAddress?: string;
}

export interface HttpOptions extends DialOptions {
  /** Default `/`. */
  readonly path?: string;
  /** Kept-alive connection from earlier requests of this actor to the same address, if there is one. */
  readonly keepAlive?: boolean;
}

export interface UdpOptions extends DialOptions {
  /** connect() first: the kernel then reports a refusal. Default true. */
  readonly connected?: boolean;
  /** Bytes of payload; default 16. */
  readonly bytes?: number;
}

export interface ResolveOptions {
  /** Address of the DNS server, without brackets. */
  readonly server: string;
  readonly name: string;
  /** Default `A`. */
  readonly type?: 'A' | 'AAAA' | 'TXT';
  readonly timeoutMs?: number;
}

export interface Resolution {
  readonly ok: boolean;
  /** ENOTFOUND, ECONNREFUSED, ETIMEOUT, … */
  readonly errno?: string;
  readonly ms: number;
  readonly records: readonly string[];
}

export interface LoadOptions {
  readonly protocol: 'http' | 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
  readonly path?: string;
  /** Requests under way at once; default 4. */
  readonly concurrency?: number;
  /** At most so many requests a second; default: as fast as it goes. */
  readonly rate?: number;
  /** Ends by itself after so many; default: runs until stopped. */
  readonly count?: number;
  /** Default 2,000. */
  readonly timeoutMs?: number;
  /** Default false: a connection a request. */
  readonly keepAlive?: boolean;
}

export interface LoadReport {
  readonly ok: number;
  readonly failed: number;
  /** How many failures of which errno. */
  readonly errors: Readonly<Record<string, number>>;
  /** How many answers of whom. */
  readonly who: Readonly<Record<string, number>>;
  /** Milliseconds; of the last 65,536 answers. */
  readonly latency: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };
  readonly seconds: number;
  /** Answers a second. */
  readonly perSecond: number;
  /** Whether it has ended. */
  readonly done: boolean;
}
