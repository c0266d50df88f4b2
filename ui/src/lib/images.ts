/** Images that go along with a question, as data URLs. */

import { t } from '../words.svelte';
import { bytes } from './format';

export interface Image {
  id: number;
  name: string;
  /** `data:image/png;base64,…` */
  url: string;
  bytes: number;
}

/** What the models read. */
export const TYPES = ['image/png', 'image/jpeg', 'image/webp', 'image/gif'];

/** Of all images of a conversation: as base64 they stay below the 50 MB that a request may have. */
export const MOST_BYTES = 30 * 2 ** 20;

let last = 0;

/** Reads those of the files that fit; `problem` says which one does not, and why. `room` is in bytes. */
export async function readImages(
  files: Iterable<File>,
  room: number,
): Promise<{ images: Image[]; problem: string | null }> {
  const images: Image[] = [];
  let problem: string | null = null;
  let left = room;
  for (const file of files) {
    if (!TYPES.includes(file.type)) {
      problem = t('chat.no_image', { name: file.name });
    } else if (file.size > left) {
      problem = t('chat.too_large', { name: file.name, size: bytes(file.size), most: bytes(MOST_BYTES) });
    } else {
      left -= file.size;
      images.push({ id: ++last, name: file.name, url: await dataUrl(file), bytes: file.size });
    }
  }
  return { images, problem };
}

export function sizeOf(images: readonly Image[]): number {
  return images.reduce((sum, image) => sum + image.bytes, 0);
}

/** Whether something that is dragged or pasted has files in it. */
export function hasFiles(data: DataTransfer | null): data is DataTransfer {
  return data !== null && [...data.types].includes('Files');
}

function dataUrl(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error ?? new Error(file.name));
    reader.readAsDataURL(file);
  });
}
