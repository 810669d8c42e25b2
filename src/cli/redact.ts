/** Takes secrets out of a text that is given away, and on request the addresses. */
import { parseAddress } from '../model/address.ts';

/** Lengths are bounded: the text may be hostile. */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [
    /-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,32}PRIVATE KEY-----|$)/g,
    '(private key removed)',
  ],
  // A JSON Web Token, as service accounts have.
  [/\beyJ[\w-]{8,8192}\.[\w-]{1,8192}\.[\w-]{0,8192}/g, '(token removed)'],
  [/\b(bearer\s{1,8})[\w.~+/=-]{8,8192}/gi, '$1(token removed)'],
  // User and password in a URL.
  [/(:\/\/)[^\s/@":]{1,256}:[^\s/@"]{1,256}@/g, '$1(removed)@'],
];
const NAMED =
  /((?:token|password|passwd|secret|client-key-data|client-certificate-data|private-key)\\?["']?\s{0,8}[:=]\s{0,8})(?!\((?:token|private key) removed\))(\\"[^"\\\n]*\\"|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,}"'\\]+)/gi;

/** @returns the text without tokens, passwords and private keys. JSON stays JSON. */
export function withoutSecrets(text: string): string {
  return SECRETS.reduce((left, [pattern, put]) => left.replace(pattern, put), text).replace(
    NAMED,
    (_, name: string, value: string) => {
      const quote = /^\\?["']/.exec(value)?.[0] ?? '';
      return `${name}${quote}(removed)${quote}`;
    },
  );
}

const IPV4 = /(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)/g;
const IPV6 = /(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{0,4}|(?:\d{1,3}\.){3}\d{1,3})(?![\w:]|\.\d)/gi;
const MAC = /(?<![\w:])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![\w:])/gi;
/** They name nobody. */
const KEPT = /^(?:0\.0\.0\.0|127\..*|255\.255\.255\.255|::|::1)$/;

/**
 * @returns a function that puts others in the place of addresses: the same for the same one, in every text that it is
 * given. IPv4 becomes 240.0.0.0/4, IPv6 2001:db8:ffff::/48, of which nobody has any. Networks lose what lies in them.
 */
export function createAddressReplacer(): (text: string) => string {
  const known = new Map<string, string>();
  const counts = { four: 0, six: 0, mac: 0 };
  const put = (key: string, fresh: () => string) => {
    const found = known.get(key) ?? fresh();
    known.set(key, found);
    return found;
  };
  const four = () => {
    const n = ++counts.four;
    return `${240 + ((n >> 24) & 7)}.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
  };
  const six = () => {
    const n = ++counts.six;
    return `2001:db8:ffff::${n > 0xffff ? `${(n >> 16).toString(16)}:` : ''}${(n & 0xffff).toString(16)}`;
  };
  const mac = () =>
    `02:ff:ff:${[16, 8, 0].map((shift) => ((counts.mac >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`;
  const address = (fresh: () => string) => (text: string) => {
    const parsed = parseAddress(text);
    return parsed === undefined || KEPT.test(parsed) ? text : put(parsed, fresh);
  };
  return (text) =>
    text
      .replace(MAC, (found) => {
        if (found === '00:00:00:00:00:00') return found;
        return put(found.toLowerCase(), () => {
          counts.mac++;
          return mac();
        });
      })
      .replace(IPV6, address(six))
      .replace(IPV4, address(four));
}
