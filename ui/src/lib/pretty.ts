/** JSON laid out for reading, line by line where there are several values; any other text as it is. */
export function pretty(text: string): string {
  const whole = layOut(text);
  if (whole !== null) return whole;
  return text
    .split('\n')
    .map((line) => layOut(line) ?? line)
    .join('\n');
}

function layOut(text: string): string | null {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}
