/**
 * The documents of one manifest file, each by itself: a fault in one leaves the others. Read as kubectl reads
 * them: what begins with a brace as JSON, the rest as YAML 1.1 with merge keys; of a key that comes twice the last counts.
 */
import { type Document, isScalar, LineCounter, parseAllDocuments, visit } from 'yaml';
import { GO_YAML } from '../model/go-yaml.ts';
import { splitJson } from './manifest-json.ts';

export interface ManifestDocument {
  /** Where it begins; lines count from 1. */
  readonly line: number;
  /** undefined when there is a fault. */
  readonly value?: unknown;
  /** Why it cannot be read, with its line, for people. */
  readonly fault?: string;
  /** What else a person should know of it, with lines. */
  readonly notes: readonly string[];
}

/** @param text with or without a byte order mark; lines end in LF or CRLF. */
export function readDocuments(text: string): ManifestDocument[] {
  const documents: ManifestDocument[] = [];
  for (const { text: part, line } of splitAtMarkers(text.replace(/^\uFEFF/, ''))) {
    const json = part.replace(/^---/, '   ');
    documents.push(...((/^\s*\{/.test(json) ? readJson(json, line) : undefined) ?? readYaml(part, line)));
  }
  return documents;
}

/** Cut before each line that begins with `---`. Directives stay with the document behind them. */
function splitAtMarkers(text: string): { text: string; line: number }[] {
  const parts: { text: string; line: number }[] = [];
  let line = 1;
  let kept = '';
  for (const part of text.split(/^(?=---(?:\s|$))/m)) {
    const whole = kept + part;
    kept = isDirectives(whole) ? whole : '';
    if (kept !== '') continue;
    parts.push({ text: whole, line });
    line += whole.split('\n').length - 1;
  }
  return parts;
}

function isDirectives(text: string): boolean {
  return text.startsWith('%') && text.split('\n').every((line) => /^(%|#|\s*$)/.test(line));
}

/** @returns undefined when a piece is no JSON: then it is YAML that begins with a brace, or the fault is told as YAML's. */
function readJson(text: string, line: number): ManifestDocument[] | undefined {
  const lineAt = (offset: number) => line + text.slice(0, offset).split('\n').length - 1;
  const documents: ManifestDocument[] = [];
  for (const piece of splitJson(text)) {
    const begin = lineAt(piece.offset + piece.text.search(/\S/));
    const notes = piece.duplicates.map(({ key, offset }) => duplicateNote(key, lineAt(offset)));
    try {
      documents.push({ line: begin, value: JSON.parse(piece.text), notes });
    } catch {
      documents.push(...readYaml(piece.text, lineAt(piece.offset)));
    }
  }
  return documents;
}

const duplicateNote = (key: string, line: number) => `line ${line}: key ${key} comes again: its last value counts`;

function readYaml(text: string, line: number): ManifestDocument[] {
  const lineCounter = new LineCounter();
  const lineAt = (offset: number) => line + Math.max(lineCounter.linePos(offset).line, 1) - 1;
  return [...parseAllDocuments(text, { ...GO_YAML, prettyErrors: false, lineCounter })].map((document) => {
    const begin = lineAt(document.contents?.range?.[0] ?? document.range?.[0] ?? 0);
    const [fault] = document.errors;
    if (fault !== undefined) return { line: begin, fault: `line ${lineAt(fault.pos[0])}: ${fault.message}`, notes: [] };
    const odd = oddKey(document);
    if (odd !== undefined)
      return {
        line: begin,
        fault: `line ${lineAt(odd)}: a key is a list or an object; if this is a template, write what it becomes`,
        notes: [],
      };
    try {
      return { line: begin, value: document.toJS(), notes: duplicatesOf(document, lineAt) };
    } catch (error) {
      const message =
        error instanceof ReferenceError ? 'its aliases multiply beyond all measure' : (error as Error).message;
      return { line: begin, fault: `line ${begin}: ${message}`, notes: [] };
    }
  });
}

/** `{{ .Values.port }}` is YAML: an object whose key is an object. @returns where, in characters */
function oddKey(document: Document.Parsed): number | undefined {
  let at: number | undefined;
  visit(document, {
    Pair(_, { key }) {
      if (isScalar(key) || key === null || typeof key !== 'object' || !('range' in key) || 'source' in key) return;
      at = (key.range as [number] | undefined)?.[0] ?? 0;
      return visit.BREAK;
    },
  });
  return at;
}

function duplicatesOf(document: Document.Parsed, lineAt: (offset: number) => number): string[] {
  const notes: string[] = [];
  visit(document, {
    Map(_, map) {
      const keys = new Set<string>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        const name = String(key.value);
        if (keys.has(name) && name !== '<<') notes.push(duplicateNote(name, lineAt(key.range?.[0] ?? 0)));
        keys.add(name);
      }
    },
  });
  return notes;
}
