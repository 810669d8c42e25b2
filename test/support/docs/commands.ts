/** What a block asks a person to type. */
import type { Block } from './markdown.ts';

export interface Command {
  /** As it is typed: several lines where a line ends in a backslash or opens a here-document. */
  readonly text: string;
  /** What is shown below it; undefined: nothing is said of it. */
  readonly output: string | undefined;
}

/** @throws Error when a console block has output before a command */
export function commandsOf({ at, language, text }: Block): Command[] {
  if (language === 'sh') return [{ text, output: undefined }];
  if (language !== 'console') return [];
  const commands: { lines: string[]; output: string[]; more: boolean }[] = [];
  for (const line of text.trimEnd().split('\n')) {
    const last = commands.at(-1);
    if (line.startsWith('$ ')) commands.push({ lines: [line.slice(2)], output: [], more: line.endsWith('\\') });
    else if (last === undefined) throw new Error(`${at}: a console block begins with a command: '$ …'`);
    else if (last.output.length === 0 && (last.more || line.startsWith('> '))) {
      last.lines.push(line.replace(/^> /, ''));
      last.more = line.endsWith('\\');
    } else last.output.push(line);
  }
  return commands.map(({ lines, output }) => ({ text: lines.join('\n'), output: output.join('\n') }));
}

/** The simple commands of a script, one a line, without comments: words are not taken apart further. */
export function simpleCommands(script: string): string[] {
  return script
    .replaceAll(/\\\n\s*/g, '')
    .replaceAll(/<<'?(\w+)'?\n[\s\S]*?^\1$/gm, '')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .flatMap((line) => line.split(/\s(?:&&|\|\||;)\s/))
    .map((line) => line.replace(/^(?:\w+=(?:'[^']*'|\S*)\s+)+(?=\S)/, '').trim())
    .filter((line) => line !== '');
}
