/** The version, from package.json: the one place it stands. */
export const readVersion = async (): Promise<string> => {
  const found: { version: string } = await Bun.file(new URL('../../package.json', import.meta.url)).json();
  return found.version;
};
