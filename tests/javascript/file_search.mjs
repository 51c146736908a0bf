// Uploads, waits, asks and reads citations with Google's own JavaScript SDK; prints what it saw as JSON.
// Usage: node file_search.mjs URL FOLDER, where FOLDER holds leave.txt and plan.png.
import { GoogleGenAI } from "@google/genai";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const [baseUrl, folder] = process.argv.slice(2);
const ai = new GoogleGenAI({ apiKey: "any", httpOptions: { baseUrl } });
const question = "How many days of paid leave does an employee have?";
const model = "gemini-3.8-flash";

async function done(operation) {
  for (let tries = 0; !operation.done; tries++) {
    if (tries > 300) throw new Error(`${operation.name} never ends`);
    await new Promise((resume) => setTimeout(resume, 50));
    operation = await ai.operations.get({ operation });
  }
  return operation;
}

async function names(pager) {
  const found = [];
  for await (const entry of pager) found.push(entry.name);
  return found;
}

const store = await ai.fileSearchStores.create({
  config: { displayName: "From JavaScript", embeddingModel: "models/gemini-embedding-2" },
});
const search = (extra) => ({ tools: [{ fileSearch: { fileSearchStoreNames: [store.name], ...extra } }] });

const uploaded = await done(
  await ai.fileSearchStores.uploadToFileSearchStore({
    file: join(folder, "leave.txt"),
    fileSearchStoreName: store.name,
    config: {
      displayName: "Résumé of leave.txt",
      mimeType: "text/plain",
      customMetadata: [{ key: "year", numericValue: 2026 }],
      chunkingConfig: { whiteSpaceConfig: { maxTokensPerChunk: 100, maxOverlapTokens: 10 } },
    },
  }),
);
const file = await ai.files.upload({ file: join(folder, "leave.txt"), config: { mimeType: "text/plain" } });
const imported = await done(
  await ai.fileSearchStores.importFile({ fileSearchStoreName: store.name, fileName: file.name }),
);
await done(
  await ai.fileSearchStores.uploadToFileSearchStore({
    file: join(folder, "plan.png"),
    fileSearchStoreName: store.name,
    config: { displayName: "evacuation plan.png", mimeType: "image/png" },
  }),
);

const answer = await ai.models.generateContent({
  model,
  contents: question,
  config: search({ metadataFilter: "year = 2026", topK: 3 }),
});
const streamed = [];
for await (const piece of await ai.models.generateContentStream({ model, contents: question, config: search() })) {
  streamed.push(piece.text);
}
const picture = await ai.models.generateContent({ model, contents: "Where is the evacuation plan?", config: search() });
const { mediaId } = picture.candidates[0].groundingMetadata.groundingChunks[0].retrievedContext;
const media = await ai.fileSearchStores.downloadMedia(mediaId);
const interaction = await ai.interactions.create({
  model,
  input: question,
  tools: [{ type: "file_search", file_search_store_names: [store.name], metadata_filter: "year = 2026" }],
});

const refused = await ai.fileSearchStores.delete({ name: store.name }).then(
  () => "deleted",
  (error) => error.message,
);
const documents = await names(await ai.fileSearchStores.documents.list({ parent: store.name }));
await ai.fileSearchStores.delete({ name: store.name, config: { force: true } });
await ai.files.delete({ name: file.name });

console.log(
  JSON.stringify({
    store: store.name,
    uploaded: uploaded.response.documentName,
    imported: imported.response.documentName,
    text: answer.text,
    grounding: answer.candidates[0].groundingMetadata,
    streamed: streamed.join(""),
    media: Buffer.from(media).equals(await readFile(join(folder, "plan.png"))),
    interaction: interaction.steps.at(-1).content,
    refused,
    documents: documents.length,
    gone: await ai.fileSearchStores.get({ name: store.name }).then(
      () => "there",
      (error) => error.status,
    ),
  }),
);
