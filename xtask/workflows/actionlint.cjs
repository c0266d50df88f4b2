// Runs actionlint over the workflows that are named, and fails if it has something to say.
const { readFileSync } = require("node:fs");
const { join, relative } = require("node:path");

async function main(files) {
  const folder = join(__dirname, "node_modules", "@tktco", "node-actionlint");
  globalThis.throwError = (message) => {
    throw new Error(message);
  };
  require(join(folder, "wasm_exec.js"));
  const go = new globalThis.Go();
  const { instance } = await WebAssembly.instantiate(readFileSync(join(folder, "main.wasm")), go.importObject);
  // It runs for as long as this process.
  void go.run(instance);
  let complaints = 0;
  for (const file of files) {
    for (const { message, line, column, kind } of globalThis.runActionlint(readFileSync(file, "utf8"), file)) {
      complaints += 1;
      console.error(`${relative(process.cwd(), file)}:${line}:${column}: ${message} [${kind}]`);
    }
  }
  console.log(`actionlint: ${files.length} workflows, ${complaints} complaints`);
  process.exit(complaints === 0 && files.length > 0 ? 0 : 1);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(2);
});
