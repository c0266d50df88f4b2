/** Sentences with code and links in them. */

export type Piece = { kind: 'text' | 'code'; text: string } | { kind: 'link'; text: string; href: string };

/** Pieces of a sentence: what is in backticks is code, `[words](#/view)` a link to a view of this window. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let at = 0;
  for (const match of text.matchAll(/`([^`]+)`|\[([^\]]+)\]\((#\/[^)\s]*)\)/g)) {
    const [whole, code, words, href] = match;
    if (match.index > at) found.push({ kind: 'text', text: text.slice(at, match.index) });
    found.push(code ? { kind: 'code', text: code } : { kind: 'link', text: words ?? '', href: href ?? '' });
    at = match.index + whole.length;
  }
  if (at < text.length) found.push({ kind: 'text', text: text.slice(at) });
  return found;
}
