/** The code blocks of a Markdown page, with the comments above them that say how they are tested. */
import { readFileSync } from 'node:fs';

export interface Block {
  /** Path from the repository, and the line of the fence. */
  readonly at: string;
  /** `sh`: commands; `console`: commands after `$ `, and what they print. Else nothing of it is run. */
  readonly language: string;
  readonly text: string;
  /** By name, of `DIRECTIVES`. */
  readonly directives: Readonly<Record<string, string>>;
}

/**
 * `on`: the host whose shell it is typed into, else `node`; `not run`: the reason why it is not; `exit`: the code of the last
 * command; `wait`: the commands are typed until they print what is shown; `setup`: what the lab's node is given before.
 */
const DIRECTIVES = ['on', 'not run', 'exit', 'wait', 'setup'];
const DIRECTIVE = new RegExp(`^(${DIRECTIVES.join('|')}):\\s*([\\s\\S]*)$`);

/** Comments of directives and fences, in their order. A comment of another kind is nobody's business here. */
const PART = /^<!--\s*([\s\S]*?)-->\n|^```([^\n]*)\n([\s\S]*?)^```$/gm;

/** @returns the blocks of a page. @throws Error for a directive without a block */
export function readBlocks(page: string, text = readFileSync(page, 'utf8'), name = page): Block[] {
  const blocks: Block[] = [];
  let directives: Record<string, string> = {};
  for (const match of dedent(text).matchAll(PART)) {
    const [, comment, language, body] = match;
    const line = text.slice(0, match.index).split('\n').length;
    if (comment !== undefined) {
      const [, key, value = ''] = DIRECTIVE.exec(comment) ?? [];
      if (key !== undefined) directives[key] = value.trim();
      continue;
    }
    blocks.push({ at: `${name}:${line}`, language: (language ?? '').trim(), text: body ?? '', directives });
    directives = {};
  }
  if (Object.keys(directives).length > 0)
    throw new Error(`${name}: a comment '${Object.keys(directives)}' is followed by no block`);
  return blocks;
}

/** Blocks inside lists are indented, and so are the comments above them: their lines count as they would alone. Positions stay by line only. */
function dedent(text: string): string {
  return text
    .replace(/^ +(?=<!--)/gm, '')
    .replace(/^( +)(```[\s\S]*?^\1```)$/gm, (_, indent: string, block: string) =>
      block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    );
}
