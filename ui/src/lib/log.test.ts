import { expect, test } from 'vitest';

import { areaOf, linesOf, matchingLines, toneOf } from './log';

const LINES = [
  '2026-03-04T12:00:00.123456Z  INFO proxy_core::proxy: listening address=127.0.0.1:11435',
  '2026-03-04T12:00:01.5Z  INFO request{id=req_1 route="/v1/responses"}:turn{n=1}: proxy_core::http::turns: a turn ended status=200',
  '2026-03-04T12:00:02Z ERROR panic: panicked: no such thing',
  '   0: core::panicking',
  '   1: proxy_core::worker::run',
  '2026-03-04T12:00:03Z  WARN codex_proxy_app::tray: no tray',
  '{"timestamp":"2026-03-04T12:00:04Z","level":"DEBUG","fields":{"message":"asked","model":"gpt-5.5"},"target":"proxy_core::worker"}',
];
const lines = linesOf(LINES);

test('a line is taken apart', () => {
  expect(lines.map(({ level, module, text }) => [level, module, text.split('\n')[0]])).toEqual([
    ['info', 'proxy_core::proxy', 'listening address=127.0.0.1:11435'],
    ['info', 'proxy_core::http::turns', 'a turn ended status=200'],
    ['error', 'panic', 'panicked: no such thing'],
    ['warn', 'codex_proxy_app::tray', 'no tray'],
    ['debug', 'proxy_core::worker', 'asked model=gpt-5.5'],
  ]);
  expect(lines[0]?.at).toBe(Date.UTC(2026, 2, 4, 12, 0, 0, 123));
});

test('what follows a line belongs to it, and no line is lost', () => {
  expect(lines[2]?.text).toContain('proxy_core::worker::run');
  expect(lines.map(({ raw }) => raw).join('\n')).toBe(LINES.join('\n'));
  expect(linesOf(['left over', ...LINES])[0]).toMatchObject({ at: null, level: null, text: 'left over' });
});

test('words instead of paths', () => {
  expect(lines.map(areaOf)).toEqual(['Proxy', 'Requests', 'Crash', 'Application', 'Workers']);
  expect(lines.map(({ level }) => toneOf(level))).toEqual(['plain', 'plain', 'bad', 'warn', 'plain']);
});

test('levels and words choose lines', () => {
  expect(matchingLines(lines, 'warn', '')).toHaveLength(2);
  expect(matchingLines(lines, 'error', '')).toHaveLength(1);
  expect(matchingLines(lines, null, 'TURN')).toHaveLength(1);
});

test('that the log is read is no news', () => {
  const own = '2026-03-04T12:00:05Z DEBUG proxy_core::http: answered path="/control/logs" status=200 ms=0';
  expect(matchingLines(linesOf([...LINES, own]), null, '')).toHaveLength(lines.length);
  const level = own.replace('logs"', 'logs/level"');
  expect(matchingLines(linesOf([...LINES, level]), null, '')).toHaveLength(lines.length + 1);
});
