/** Every text that a person reads comes from the catalogue: none stands in a component or a function. */

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { parse } from 'svelte/compiler';
import ts from 'typescript';
import { expect, test } from 'vitest';

const SOURCE = fileURLToPath(new URL('../../src', import.meta.url));

/** What is the same in every language. */
const NAMES = new Set(['Codex', 'Codex Proxy', 'ChatGPT', 'English', 'Deutsch', 'KiB', 'MiB', 'GiB', 'TiB']);
/** Names of keys and events. */
const KEYS = /^(Arrow(Up|Down|Left|Right)|Home|End|Enter|Escape|Tab|Files|Bearer)$/;
/** Files that are not for translation: made by a program, pasted into other programs, or in those programs' own words. */
const EXEMPT = ['api.generated.ts', 'lib/snippets.ts', 'lib/clients.ts'];
/** Attributes that people read. */
const READ = new Set(
  'aria-label aria-valuetext title placeholder alt label legend what text heading action'.split(' '),
);

/** A word that begins with a capital, or two words in a row. */
function isText(literal: string): boolean {
  const text = literal.replace(/^[\s–·:,.()]+|[\s–·:,.()]+$/g, '');
  if (NAMES.has(text) || KEYS.test(text)) return false;
  return /^\p{Lu}\p{Ll}/u.test(text) || /(^|\s)\p{L}+[,.]? \p{L}{2,}/u.test(text);
}

interface Node {
  type: string;
  name?: string;
  data?: string;
  value?: unknown;
  [key: string]: unknown;
}

function literalsOfComponent(source: string): string[] {
  const found: string[] = [];
  const { fragment, instance } = parse(source, { modern: true });
  const visit = (node: unknown, attribute: string | null) => {
    if (Array.isArray(node)) return node.forEach((child) => visit(child, attribute));
    if (typeof node !== 'object' || node === null) return;
    const { type, name, data, value } = node as Node;
    if (type === 'ImportDeclaration' || type === 'StyleDirective' || type?.startsWith('TS')) return;
    const own = type === 'Attribute' ? (name ?? null) : attribute;
    if (type === 'Text' && typeof data === 'string') {
      if (own === null ? /\p{L}{2,}/u.test(data) && !NAMES.has(data.trim()) : READ.has(own) && isText(data)) {
        found.push(data.trim());
      }
    }
    if (own === null || READ.has(own)) {
      if (type === 'Literal' && typeof value === 'string' && isText(value)) found.push(value);
      if (type === 'TemplateElement') {
        const { cooked } = value as { cooked: string };
        if (isText(cooked)) found.push(cooked);
      }
    }
    for (const [key, child] of Object.entries(node)) if (key !== 'loc') visit(child, own);
  };
  visit(fragment, null);
  visit(instance?.content, null);
  return found;
}

function literalsOfModule(source: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node) || ts.isTypeNode(node)) return;
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      if (isText(node.text)) found.push(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('module.ts', source, ts.ScriptTarget.Latest));
  return found;
}

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .map((name) => name.replaceAll('\\', '/'))
  .filter((name) => /\.(svelte|ts)$/.test(name) && !name.endsWith('.test.ts') && !EXEMPT.includes(name));

test.each(files)('%s has no text of its own', (name) => {
  const source = readFileSync(`${SOURCE}/${name}`, 'utf8');
  expect(name.endsWith('.svelte') ? literalsOfComponent(source) : literalsOfModule(source)).toEqual([]);
});

test('the search for texts finds them', () => {
  const component = `<script lang="ts">const state = 'Not running'; const key = 'home.ready'</script>
    <p class="muted row">Read me</p><input placeholder="A name" /><p>{isDone ? 'Done' : t(key)} {\`It took \${time}\`}</p>`;
  expect(literalsOfComponent(component).sort()).toEqual([
    'A name',
    'Done',
    'It took ',
    'Not running',
    'Read me',
  ]);
  expect(literalsOfModule("import a from 'Some where'; say('It failed.'); t('job.failed');")).toEqual([
    'It failed.',
  ]);
});
