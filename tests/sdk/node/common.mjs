// What the scripts share: the client's settings, the inputs that the suite's upstream knows, the report.

import assert from "node:assert/strict";

export const baseURL = required("BASE_URL");
export const apiKey = required("API_KEY");
export const model = process.env.MODEL ?? "gpt-6.1-sol";

/** The answers that the suite's upstream gives to these markers. */
export const TEXT = { ask: "[[text]]", answer: "Héllo 🦀" };
export const CALLS = {
  ask: "[[tools]]",
  answer: "done",
  cities: ["Paris", "Rome"],
  description: "The weather of a city",
  schema: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
};
export const JSON_ANSWER = { ask: "[[json]]", answer: { city: "Zürich", population: 400000 } };
export const IMAGE = {
  ask: "[[image]]",
  answer: "a pixel",
  url: "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
};

/** Runs named checks one after the other and prints one line of results; any failure makes the exit code 1. */
export async function run(checks) {
  const report = { passed: [], failed: [] };
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      report.passed.push(name);
    } catch (error) {
      console.error(`${name}: ${error.stack ?? error}`);
      report.failed.push(name);
    }
  }
  console.log(JSON.stringify(report));
  process.exitCode = report.failed.length > 0 ? 1 : 0;
}

/** Asserts that a promise is rejected by an API error with these properties. */
export async function rejects(promise, expected) {
  const error = await promise.then(
    (value) => assert.fail(`no error, but ${JSON.stringify(value)}`),
    (error) => error,
  );
  for (const [key, value] of Object.entries(expected)) {
    assert.equal(error[key], value, `${key} of ${error}`);
  }
  assert.ok(error.requestID, "the error has a request id");
  return error;
}

function required(name) {
  const value = process.env[name];
  assert.ok(value, `set ${name}`);
  return value;
}
