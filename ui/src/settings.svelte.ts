/** The settings while they are edited: what was read, what is typed, and what is wrong with it. */

import type { Setting, SettingValue } from './api.generated';
import { announcer } from './announce.svelte';
import { settings } from './api';
import { parse, textOf } from './lib/settings';
import { Task } from './task.svelte';
import { t } from './words.svelte';

export class SettingsEditor {
  /** The typed texts that differ from the values, by the name of the setting. */
  edits = $state<Record<string, string>>({});
  readonly loading = new Task(settings.read);
  readonly saving = new Task(async (changes: Record<string, SettingValue>) => {
    this.loading.value = await settings.change(changes);
    this.edits = {};
    announcer.say(t('settings.saved'));
  });

  readonly changed = $derived((this.loading.value?.settings ?? []).filter(({ name }) => name in this.edits));
  readonly #problems = $derived(
    Object.fromEntries(
      this.changed.flatMap((setting) => {
        const result = parse(setting, this.edits[setting.name] ?? '');
        return 'problem' in result ? [[setting.name, result.problem]] : [];
      }),
    ),
  );
  readonly hasProblems = $derived(Object.keys(this.#problems).length > 0);

  /** The setting with this key in the file; null before the settings were read. */
  find(key: string): Setting | null {
    return this.loading.value?.settings.find((setting) => setting.key === key) ?? null;
  }

  edit(setting: Setting, text: string): void {
    const original = setting.set ? textOf(setting.value) : '';
    const isSame = text === original && !setting.secret;
    this.edits = Object.fromEntries([
      ...Object.entries(this.edits).filter(([name]) => name !== setting.name),
      ...(isSame ? [] : [[setting.name, text]]),
    ]);
  }

  /** What is wrong with the typed text, as far as the window or the proxy has said. */
  problemOf(setting: Setting): string | null {
    const { error } = this.saving;
    if (this.#problems[setting.name]) return this.#problems[setting.name] ?? null;
    return error?.param && [setting.key, setting.name].includes(error.param) ? error.message : null;
  }

  discard = (): void => {
    this.edits = {};
  };

  /** Saves what was typed; nothing while a part of it is wrong. */
  submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (this.hasProblems) return;
    const changes: Record<string, SettingValue> = {};
    for (const setting of this.changed) {
      const result = parse(setting, this.edits[setting.name] ?? '');
      if (setting.key && 'value' in result) changes[setting.key] = result.value;
    }
    void this.saving.run(changes);
  };
}
