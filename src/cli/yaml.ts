/** Rows as block YAML: plain objects of text, numbers, booleans, lists and objects. Fast enough for every flow. */

/** Text that stands for itself: no indicator, and nothing that reads as a number, a date or a word of YAML. */
const PLAIN = /^[A-Za-z/][A-Za-z0-9/._-]*$/;
const WORDS = /^(true|false|null|yes|no|on|off|y|n)$/i;

/** @param value undefined members are left out. @returns lines, with line feeds, without indentation. */
export function toYaml(value: unknown): string {
  return `${block(value, '').replace(/^\n/, '').trimStart()}\n`;
}

/** @returns what stands behind `key:` or `-`: a scalar after a space, or lines that begin with a line feed. */
function block(value: unknown, indent: string): string {
  if (Array.isArray(value)) {
    if (value.length === 0) return ' []';
    return value.map((item) => `\n${indent}- ${block(item, `${indent}  `).trimStart()}`).join('');
  }
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    if (members.length === 0) return ' {}';
    return members
      .map(([key, member]) => `\n${indent}${key}:${block(member, Array.isArray(member) ? indent : `${indent}  `)}`)
      .join('');
  }
  if (typeof value === 'string' && PLAIN.test(value) && !WORDS.test(value)) return ` ${value}`;
  return ` ${JSON.stringify(value)}`;
}
