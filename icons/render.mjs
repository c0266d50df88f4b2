// Renders the icons from `sources/`, or with `--check` compares the committed ones with a fresh rendering.
// `--sheet FILE` also draws all tray icons on light and dark panels into one picture.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Resvg } from '@resvg/resvg-js';

const here = import.meta.dirname;
const STATES = ['signed-out', 'starting', 'ready', 'busy', 'limited', 'broken', 'paused'];

/** The panel that an icon is for, from its palest to its darkest, and the colour of each state on it. */
const PANELS = {
  light: {
    backgrounds: ['#ffffff', '#d8d8d8'],
    'signed-out': '#4b5156', starting: '#1f5c99', ready: '#0a6157', busy: '#5b3fa8', limited: '#7a4a00', broken: '#a8221a', paused: '#4b5156',
  },
  dark: {
    backgrounds: ['#000000', '#3c3c3c'],
    'signed-out': '#d3d8db', starting: '#8fc3f5', ready: '#5fd0be', busy: '#c3b1f7', limited: '#f0bd66', broken: '#ff9d93', paused: '#d3d8db',
  },
};

/** For a panel of which nothing is known: dark colours with a white rim. */
const ANY = {
  'signed-out': '#3a4045', starting: '#123f6b', ready: '#06433c', busy: '#43298c', limited: '#583500', broken: '#7f130d', paused: '#3a4045',
};

/** Against every background, as WCAG measures it; 3 is what it asks of graphics. */
const CONTRAST = 4;

/** The sign or its rim has this contrast against whatever is behind, if theirs to each other is its square. */
const ANY_CONTRAST = 3;

/** The rim, in units of the sources' 32, and how much smaller the sign is for it. */
const RIM = { width: 2, scale: 0.86 };

const TRAY_SIZES = { '-16': 16, '-22': 22, '-24': 24, '': 32, '-48': 48, '@2x': 64 };
const TEMPLATE_SIZE = 44;
const APP_FILES = ['32x32.png', '128x128.png', '128x128@2x.png', 'icon.png', 'icon.ico'];

/** What macOS leaves free around an icon: 100 of 1024 on each side. */
const MAC_VIEW = '-100 -100 1024 1024';

function png(svg, colour, size) {
  const coloured = svg.replaceAll('currentColor', colour);
  return new Resvg(coloured, { fitTo: { mode: 'width', value: size } }).render().asPng();
}

function source(path) {
  return readFileSync(join(here, 'sources', path), 'utf8');
}

function trayIcons() {
  const files = new Map();
  for (const state of STATES) {
    const svg = source(`tray/${state}.svg`);
    for (const [panel, colours] of Object.entries(PANELS)) {
      for (const background of colours.backgrounds) {
        const ratio = contrast(colours[state], background);
        if (ratio < CONTRAST) throw new Error(`${state} on ${background}: contrast ${ratio.toFixed(2)} < ${CONTRAST}`);
      }
      for (const [suffix, size] of Object.entries(TRAY_SIZES)) {
        files.set(`tray/${state}-${panel}${suffix}.png`, png(svg, colours[state], size));
      }
    }
    const apart = contrast(ANY[state], '#ffffff');
    if (apart < ANY_CONTRAST ** 2) throw new Error(`${state} and its rim: contrast ${apart.toFixed(2)} < ${ANY_CONTRAST ** 2}`);
    for (const [suffix, size] of Object.entries(TRAY_SIZES)) {
      files.set(`tray/${state}-any${suffix}.png`, png(rimmed(svg), ANY[state], size));
    }
    files.set(`tray/${state}-template.png`, png(svg, '#000', TEMPLATE_SIZE));
  }
  return files;
}

/** The sign with a white rim around it, also where it has holes. */
function rimmed(svg) {
  const inner = svg.replace(/^[^]*?<svg[^>]*>/, '').replace(/<\/svg>\s*$/, '');
  const fill = /<svg[^>]*fill="currentColor"/.test(svg) ? ' fill="currentColor"' : '';
  const margin = (32 * (1 - RIM.scale)) / 2;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><defs>
    <filter id="rim" filterUnits="userSpaceOnUse" x="-4" y="-4" width="40" height="40" color-interpolation-filters="sRGB">
      <feMorphology in="SourceAlpha" operator="dilate" radius="${RIM.width}"/>
      <feComponentTransfer result="wide"><feFuncA type="linear" slope="3"/></feComponentTransfer>
      <feFlood flood-color="#fff"/><feComposite in2="wide" operator="in" result="rim"/>
      <feMerge><feMergeNode in="rim"/><feMergeNode in="SourceGraphic"/></feMerge>
    </filter></defs>
    <g filter="url(#rim)"><g transform="translate(${margin} ${margin}) scale(${RIM.scale})"${fill}>${inner}</g></g></svg>`;
}

/** Tauri's own tool makes these, as it knows what each system's bundle wants. */
function appIcons() {
  const svg = source('app.svg');
  const mac = svg.replace(/viewBox="[^"]*"/, `viewBox="${MAC_VIEW}"`);
  const files = new Map();
  for (const [text, names] of [[svg, APP_FILES], [mac, ['icon.icns']]]) {
    const folder = mkdtempSync(join(tmpdir(), 'icons-'));
    try {
      writeFileSync(join(folder, 'app.svg'), text);
      const tauri = createRequire(import.meta.url).resolve('@tauri-apps/cli/tauri.js');
      execFileSync(process.execPath, [tauri, 'icon', join(folder, 'app.svg'), '-o', folder], { stdio: 'pipe' });
      for (const name of names) {
        const bytes = readFileSync(join(folder, name));
        files.set(`app/${name}`, name.endsWith('.icns') ? inOrder(bytes) : bytes);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  return files;
}

/** The tool writes the pictures of an .icns in a different order each time. */
function inOrder(icns) {
  const pictures = [];
  for (let at = 8; at < icns.length; at += icns.readUInt32BE(at + 4)) {
    pictures.push(icns.subarray(at, at + icns.readUInt32BE(at + 4)));
  }
  const type = (picture) => picture.toString('latin1', 0, 4);
  pictures.sort((a, b) => (type(a) < type(b) ? -1 : 1));
  return Buffer.concat([icns.subarray(0, 8), ...pictures]);
}

function contrast(one, other) {
  const luminance = (colour) => {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const part = parseInt(colour.slice(at, at + 2), 16) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

/** All tray icons in true size and the small ones enlarged, on each background; then the application's. */
function sheet(files) {
  const parts = [];
  const image = (name, x, y, shown) => {
    const data = Buffer.from(files.get(name)).toString('base64');
    parts.push(`<image x="${x}" y="${y}" width="${shown}" height="${shown}" image-rendering="optimizeSpeed" href="data:image/png;base64,${data}"/>`);
  };
  let y = 0;
  const any = { any: { backgrounds: ['#ffffff', '#777777', '#3c3c3c'] } };
  for (const [panel, { backgrounds }] of Object.entries({ ...PANELS, ...any })) {
    for (const background of backgrounds) {
      parts.push(`<rect y="${y}" width="1400" height="128" fill="${background}"/>`);
      STATES.forEach((state, column) => {
        const [name, x] = [(suffix) => `tray/${state}-${panel}${suffix}.png`, 12 + column * 200];
        image(name('-16'), x, y + 10, 16);
        image(name('-22'), x + 24, y + 7, 22);
        image(name(''), x + 54, y + 2, 32);
        image(name('-16'), x, y + 44, 64);
        image(name('-22'), x + 76, y + 30, 88);
      });
      y += 128;
    }
  }
  parts.push(`<rect y="${y}" width="1400" height="140" fill="#e4e4e4"/>`);
  image('app/32x32.png', 12, y + 6, 32);
  image('app/32x32.png', 60, y + 6, 96);
  image('app/128x128.png', 180, y + 6, 128);
  STATES.forEach((state, column) => image(`tray/${state}-template.png`, 400 + column * 60, y + 40, 44));
  const size = `width="1400" height="${y + 140}"`;
  return new Resvg(`<svg xmlns="http://www.w3.org/2000/svg" ${size}>${parts.join('')}</svg>`).render().asPng();
}

function committed() {
  return ['tray', 'app'].flatMap((folder) => readdirSync(join(here, folder)).map((name) => `${folder}/${name}`));
}

const files = new Map([...trayIcons(), ...appIcons()]);
if (process.argv.includes('--check')) {
  const stale = [...files].filter(([name, bytes]) => {
    try {
      return !readFileSync(join(here, name)).equals(bytes);
    } catch {
      return true;
    }
  });
  const extra = committed().filter((name) => !files.has(name));
  const wrong = [...stale.map(([name]) => `differs: ${name}`), ...extra.map((name) => `has no source: ${name}`)];
  if (wrong.length) {
    console.error(`${wrong.join('\n')}\nRun \`npm run render\` in icons/.`);
    process.exit(1);
  }
  console.log(`${files.size} icons are as their sources say`);
} else {
  for (const folder of ['tray', 'app']) rmSync(join(here, folder), { recursive: true, force: true });
  for (const [name, bytes] of files) {
    mkdirSync(dirname(join(here, name)), { recursive: true });
    writeFileSync(join(here, name), bytes);
  }
  console.log(`rendered ${files.size} icons`);
}
const at = process.argv.indexOf('--sheet');
if (at > 0) writeFileSync(process.argv[at + 1], sheet(files));
