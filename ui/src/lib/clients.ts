/** The clients that the window helps to set up: what to enter where. Labels are in the client's own words. */

import { t } from '../words.svelte';
import {
  codexConfig,
  continueConfig,
  curlExample,
  KEY_VARIABLE,
  MODEL,
  nodeExample,
  opencodeConfig,
  pythonExample,
  zedSettings,
} from './snippets';

export { KEY_VARIABLE, MODEL };

/** What a client is for, in the order in which they are shown. */
export const KINDS = ['notes', 'editors', 'agents', 'code', 'other'] as const;

export type Kind = (typeof KINDS)[number];

export interface ClientGuide {
  id: string;
  name: string;
  kind: Kind;
  /** A short description. */
  about: string;
  /** The name of the key that is created for the client. */
  keyName: string;
  /** Limitations, or facts that the person must know first. */
  warning: string | null;
  /** The place in the client's settings. */
  where: string;
  /** The fields to fill in, with the client's own labels. The key is never among the values. */
  fields: Field[];
  /** A file or commands, if the client is set up in this way. */
  snippet: Snippet | null;
  /** Further notes. */
  notes: string[];
  /** An address that opens the client where it is set up. */
  link: string | null;
}

export interface Field {
  label: string;
  /** The value of the field; null for the key, which has its own copy button. */
  value: string | null;
}

export interface Snippet {
  /** The name of the file, or a title of the text. */
  title: string;
  text: string;
}

/** All clients, for the base URL `base` (which ends in `/v1`), in the language of the window. */
export function clientGuides(base: string): ClientGuide[] {
  return [...notes(base), ...editors(base), ...agents(base), ...programs(base), other(base)];
}

function keyField(): Field {
  return { label: t('clients.key'), value: null };
}

function notes(base: string): ClientGuide[] {
  const fields = [
    { label: 'Model name', value: MODEL },
    { label: 'Provider', value: 'OpenAI Format' },
    { label: 'Base URL', value: base },
    { label: 'API Key', value: null },
  ];
  const rest = { kind: 'notes' as const, fields, link: 'obsidian://show-plugin?id=copilot' };
  return [
    guide('obsidian-copilot', 'Obsidian Copilot 4.x', t('guide.notes_about'), {
      ...rest,
      where: 'Settings → Copilot → Model → Add custom model',
      notes: [t('guide.cors_off'), t('guide.copilot_test')],
    }),
    guide('obsidian-copilot-3', 'Obsidian Copilot 3.x', t('guide.notes_about'), {
      ...rest,
      where: 'Settings → Copilot → Model → Add Custom Model',
      notes: [t('guide.cors_off'), t('guide.copilot_verify')],
    }),
  ];
}

function editors(base: string): ClientGuide[] {
  return [
    guide('zed', 'Zed', t('guide.editor_about'), {
      kind: 'editors',
      where: t('guide.zed_where'),
      fields: [keyField()],
      snippet: { title: 'settings.json', text: zedSettings(base) },
      notes: [t('guide.zed_note')],
    }),
    guide('continue', 'Continue', t('guide.extension_about'), {
      kind: 'editors',
      where: t('guide.continue_where', { variable: KEY_VARIABLE }),
      fields: [keyField()],
      snippet: { title: '~/.continue/config.yaml', text: continueConfig(base) },
    }),
    guide('cursor', 'Cursor', t('guide.editor_about'), {
      kind: 'editors',
      warning: t('guide.cursor_warning'),
      where: 'Cursor Settings → Models → API Keys',
      fields: [
        { label: 'OpenAI API Key', value: null },
        { label: 'Override OpenAI Base URL', value: 'https://your-public-host/v1' },
        { label: 'Add custom model', value: MODEL },
      ],
      notes: [t('guide.cursor_note')],
    }),
  ];
}

function agents(base: string): ClientGuide[] {
  return [
    guide('roo-code', 'Roo Code', t('guide.vscode_about'), {
      kind: 'agents',
      where: 'Roo Code → Settings → Providers',
      fields: [
        { label: 'API Provider', value: 'OpenAI Compatible' },
        { label: 'Base URL', value: base },
        { label: 'API Key', value: null },
        { label: 'Model', value: MODEL },
      ],
      notes: [t('guide.roo_note')],
    }),
    guide('cline', 'Cline', t('guide.vscode_about'), {
      kind: 'agents',
      where: 'Cline → Settings → API Configuration',
      fields: [
        { label: 'API Provider', value: 'OpenAI Compatible' },
        { label: 'Base URL', value: base },
        { label: 'API Key', value: null },
        { label: 'Model ID', value: MODEL },
      ],
    }),
    guide('codex-cli', 'Codex CLI', t('guide.terminal_about'), {
      kind: 'agents',
      where: t('guide.variable_file', { variable: KEY_VARIABLE }),
      fields: [keyField()],
      snippet: { title: '~/.codex/config.toml', text: codexConfig(base) },
      notes: [t('guide.codex_note')],
    }),
    guide('opencode', 'opencode', t('guide.terminal_about'), {
      kind: 'agents',
      where: t('guide.variable_file', { variable: KEY_VARIABLE }),
      fields: [keyField()],
      snippet: { title: '~/.config/opencode/opencode.json', text: opencodeConfig(base) },
      notes: [t('guide.opencode_note', { model: MODEL })],
    }),
  ];
}

function programs(base: string): ClientGuide[] {
  const rest = {
    kind: 'code' as const,
    where: t('guide.variable', { variable: KEY_VARIABLE }),
    fields: [keyField()],
  };
  return [
    guide('openai-python', 'OpenAI SDK for Python', 'pip install openai', {
      ...rest,
      snippet: { title: 'Python', text: pythonExample(base) },
    }),
    guide('openai-node', 'OpenAI SDK for Node.js', 'npm install openai', {
      ...rest,
      snippet: { title: 'JavaScript', text: nodeExample(base) },
    }),
    guide('curl', 'curl', t('guide.curl_about'), {
      ...rest,
      snippet: { title: t('clients.shell'), text: curlExample(base) },
    }),
  ];
}

function other(base: string): ClientGuide {
  return guide('other-client', t('guide.other'), t('guide.other_about'), {
    kind: 'other',
    where: t('guide.other_where'),
    fields: [{ label: t('home.base_url'), value: base }, keyField(), { label: t('try.model'), value: MODEL }],
    notes: [t('guide.other_note')],
  });
}

type Rest = Pick<ClientGuide, 'kind' | 'where' | 'fields'> &
  Partial<Pick<ClientGuide, 'warning' | 'snippet' | 'notes' | 'link'>>;

function guide(id: string, name: string, about: string, rest: Rest): ClientGuide {
  const unset = { warning: null, snippet: null, notes: [], link: null };
  return { id, name, about, keyName: id, ...unset, ...rest };
}

/** Two letters for a client: of its first two words, or the first of its only one. */
export function initialsOf(name: string): string {
  const words = name.match(/\p{L}+/gu) ?? [];
  const letters = words.length > 1 ? words.slice(0, 2).map((word) => word[0]) : [words[0]?.slice(0, 2)];
  return letters.join('').toUpperCase();
}
