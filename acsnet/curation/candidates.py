"""Pairs of images that are worth comparing: the nearest neighbors in two embeddings, in place of all pairs."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from acsnet.curation.description import Description

# Visual words, dimensions of a feature and of the embedding; features and embeddings that the bases are learned from.
_WORDS, _FEATURE_DIMENSIONS, _DIMENSIONS = 32, 48, 256
_LEARNING_FEATURES, _LEARNING_IMAGES = 60_000, 4_000
# Neighbors of an image by its features, as it is and mirrored, and by its looks from afar, as it is and mirrored.
_NEIGHBORS = (8, 4, 3, 2)
_SEED = 0
_CHUNK = 500

FloatArray = npt.NDArray[np.float32]


def propose_pairs(descriptions: Sequence[Description], progress: bool = True) -> list[tuple[int, int, bool]]:
    """Name the pairs that may show the same, by the nearest neighbors of each image.

    Of each image, and of its mirror image, the nearest ones are taken in two embeddings: the aggregated residuals of
    its local features (VLAD, Jegou et al. 2010, CVPR), which hold what a crop shares with its source, and its
    thumbnail. The search itself is exhaustive, but one matrix product: it hardly counts up to some 50,000 images.

    Returns:
        (first, second, mirrored) with first < second, sorted, each once.
    """
    if len(descriptions) < 2:
        return []
    embed = _Embedding(descriptions)
    embedded = {mirrored: embed(descriptions, mirrored, progress) for mirrored in (False, True)}
    pairs: set[tuple[int, int, bool]] = set()
    for count, (mirrored, which) in zip(_NEIGHBORS, ((False, 0), (True, 0), (False, 1), (True, 1)), strict=True):
        neighbors = _nearest(embedded[False][which], embedded[mirrored][which], count)
        for first, row in enumerate(neighbors.tolist()):
            pairs.update((min(first, second), max(first, second), mirrored) for second in row if second != first)
    return sorted(pairs)


def _nearest(base: FloatArray, queries: FloatArray, count: int) -> npt.NDArray[np.intp]:
    """The positions (N, count + 1) in ``base`` that are nearest to each query; among them perhaps the query's own."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=min(count + 1, len(base)), algorithm="brute").fit(base)
    return search.kneighbors(queries, return_distance=False)


class _Embedding:
    """Vectors of unit length from local features, in a basis learned from some of the images themselves."""

    def __init__(self, descriptions: Sequence[Description]) -> None:
        from sklearn.cluster import MiniBatchKMeans
        from sklearn.decomposition import PCA

        generator = np.random.default_rng(_SEED)
        some = generator.permutation(len(descriptions))[:_LEARNING_IMAGES]
        features = np.concatenate([descriptions[index].features for index in some])
        features = features[generator.permutation(len(features))[:_LEARNING_FEATURES]].astype(np.float32) / 255
        self._base: PCA | None = None
        self._reduce: PCA | None = None
        if len(features) < _FEATURE_DIMENSIONS:
            # Flat images: there is nothing to tell them apart by but their thumbnails.
            return
        self._base = PCA(_FEATURE_DIMENSIONS, random_state=_SEED).fit(features)
        self._words = MiniBatchKMeans(min(_WORDS, len(features)), random_state=_SEED, n_init=1, batch_size=4096).fit(
            self._base.transform(features)
        )
        learned = self._aggregate([descriptions[index] for index in some])
        dimensions = min(_DIMENSIONS, *learned.shape)
        self._reduce = PCA(dimensions, random_state=_SEED).fit(learned)

    def __call__(
        self, descriptions: Sequence[Description], mirrored: bool, progress: bool
    ) -> tuple[FloatArray, FloatArray]:
        """The embeddings (N, D) by local features and (N, 256) by looks, of the images or of their mirror images."""
        by_features, by_looks = [], []
        starts = range(0, len(descriptions), _CHUNK)
        for start in tqdm(starts, desc="embedding", leave=False, disable=None if progress else True):
            chunk = descriptions[start : start + _CHUNK]
            chunk = [description.mirrored() for description in chunk] if mirrored else chunk
            by_looks.append(np.stack([description.thumbnail for description in chunk]))
            if self._reduce is None:
                by_features.append(np.zeros((len(chunk), 1), np.float32))
            else:
                by_features.append(_unit(self._reduce.transform(self._aggregate(chunk)).astype(np.float32)))
        return np.concatenate(by_features), np.concatenate(by_looks)

    def _aggregate(self, descriptions: Sequence[Description]) -> FloatArray:
        assert self._base is not None
        centers = self._words.cluster_centers_.astype(np.float32)
        result = np.zeros((len(descriptions), *centers.shape), np.float32)
        for index, description in enumerate(descriptions):
            if not len(description.features):
                continue
            features = self._base.transform(description.features.astype(np.float32) / 255).astype(np.float32)
            words = (features @ centers.T - (centers**2).sum(axis=1) / 2).argmax(axis=1)
            np.add.at(result[index], words, features - centers[words])
        # A word that an image has a hundred times must not outweigh all others: each counts alike, large values less.
        result = _unit(result)
        return _unit((np.sign(result) * np.sqrt(np.abs(result))).reshape(len(result), -1))


def _unit(vectors: FloatArray) -> FloatArray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)
