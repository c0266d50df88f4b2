/** Formats JSON with several values on separate lines; returns other text unchanged. */
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
