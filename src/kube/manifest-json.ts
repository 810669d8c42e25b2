/** JSON objects one after another in a text, as kubectl takes them: where each begins and ends, and which keys come twice. */

export interface JsonPiece {
  readonly text: string;
  /** Where the piece begins in the text, in characters. */
  readonly offset: number;
  /** Keys that an object of the piece has twice, with where, in characters of the text. */
  readonly duplicates: readonly { readonly key: string; readonly offset: number }[];
}

/** A string, or one character that opens, closes or parts something. */
const TOKEN = /"(?:\\.|[^"\\])*"|[{}[\],:]/gs;

/** Cuts where a bracket closes what the first one opened. What cannot be cut any more is the last piece. */
export function splitJson(text: string): JsonPiece[] {
  const pieces: JsonPiece[] = [];
  let begin = 0;
  let duplicates: { key: string; offset: number }[] = [];
  /** Keys of each object that is open; undefined for a list. */
  let open: (Set<string> | undefined)[] = [];
  let before: { text: string; offset: number } | undefined;
  for (const match of text.matchAll(TOKEN)) {
    const token = { text: match[0], offset: match.index };
    if (token.text === '{') open.push(new Set());
    else if (token.text === '[') open.push(undefined);
    else if (token.text === ':' && before?.text.startsWith('"')) {
      const keys = open.at(-1);
      if (keys?.has(before.text)) duplicates.push({ key: before.text.slice(1, -1), offset: before.offset });
      keys?.add(before.text);
    } else if (token.text === '}' || token.text === ']') {
      open.pop();
      if (open.length === 0) {
        const end = token.offset + 1;
        pieces.push({ text: text.slice(begin, end), offset: begin, duplicates });
        begin = end;
        duplicates = [];
        open = [];
      }
    }
    before = token;
  }
  if (text.slice(begin).trim() !== '') pieces.push({ text: text.slice(begin), offset: begin, duplicates });
  return pieces;
}
