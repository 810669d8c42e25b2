/** Each block of the pages is run, or says why not and is checked as far as that goes; links lead somewhere. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { checkCommand } from '../support/docs/checks.ts';
import { commandsOf, simpleCommands } from '../support/docs/commands.ts';
import { isRun } from '../support/docs/page.ts';
import { blocksOf, PAGES } from '../support/docs/pages.ts';
import { REPOSITORY } from '../support/docs/repository.ts';

const LANGUAGES = ['sh', 'console', 'yaml', 'json', 'text'];
/** What would be a command if it stood in a block that is run. */
const COMMAND =
  /^\s*(?:\$ |(?:sluice|bin\/sluice|kubectl|helm|make|docker|curl|bpftool|npx|npm|apt-get|mount|ip|systemctl) [a-z-])/m;
/** How a command is called, with what may be left out. */
const USAGE = /[[(]--|<\w+>|\w \| \w/;

describe.each(PAGES)('%s', (page) => {
  const blocks = blocksOf(page);

  it('says of each block what it is', () => {
    for (const { at, language, text, directives } of blocks) {
      expect(LANGUAGES, `${at} begins with a fence without a language, or one that is not known`).toContain(language);
      if ((language === 'text' || language === 'json') && directives['not run'] === undefined)
        expect(COMMAND.test(text) && !USAGE.test(text), `${at} has a command that nobody runs`).toBe(false);
      const reason = directives['not run'];
      if (reason !== undefined) expect(reason.length, `${at} is not run, and does not say why`).toBeGreaterThan(10);
    }
  });

  it('is not run only where something else is checked', () => {
    const left = blocks.filter((block) => !isRun(block) && commandsOf(block).length > 0);
    for (const block of left)
      for (const { text } of commandsOf(block))
        for (const line of simpleCommands(text)) expect(checkCommand(line), `${block.at}: ${line}`).toBeUndefined();
  });

  it('shows YAML and JSON that can be read', () => {
    for (const { at, language, text } of blocks) {
      if (language === 'yaml') for (const { errors } of parseAllDocuments(text)) expect(errors, at).toEqual([]);
      if (language === 'json') expect(() => JSON.parse(text), at).not.toThrow();
    }
  });

  it('links to what is there', () => {
    const text = readFileSync(join(REPOSITORY, page), 'utf8').replaceAll(/^```[\s\S]*?^```$/gm, '');
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : normalize(join(dirname(page), path));
      expect(existsSync(join(REPOSITORY, file)), `${page} links to ${target}`).toBe(true);
      if (anchor !== undefined) expect(anchors(file), `${page} links to ${target}`).toContain(anchor);
    }
  });
});

/** As GitHub makes them of headings. */
function anchors(file: string): string[] {
  const text = readFileSync(join(REPOSITORY, file), 'utf8').replaceAll(/^```[\s\S]*?^```$/gm, '');
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

it('is listed in the index, page by page', () => {
  const index = readFileSync(join(REPOSITORY, 'docs/README.md'), 'utf8');
  const pages = PAGES.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md');
  for (const page of pages) expect(index).toContain(`(${page.replace('docs/', '')})`);
});
