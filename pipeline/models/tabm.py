"""TabM: an ensemble of perceptrons in one network, the default for tables."""

from __future__ import annotations

import keras

from pipeline.models.embeddings import NUMBER_WIDTH, Numbers, column_widths, embed_all, inputs
from pipeline.models.ensemble import MemberDropout, MemberInputs, MemberOutputs
from pipeline.models.regularization import Penalty, check_rate, kernel
from pipeline.models.table_sizes import check_sizes, members_of
from pipeline.spec import Spec


def tabm(
    spec: Spec,
    *,
    members: int | None = None,
    width: int = 256,
    depth: int = 3,
    dropout: float = 0.1,
    l1: Penalty = 0.0,
    l2: Penalty = 0.0,
    proximal: bool = False,
    numbers: Numbers = "piecewise",
    embedding_width: int = NUMBER_WIDTH,
) -> keras.Model:
    """Perceptrons that share their hidden layers, and differ in what they see and how they answer.

    "TabM-mini" with embeddings of numbers, of Gorishniy, Kotelnikov and Babenko, "TabM: Advancing Tabular Deep Learning
    with Parameter-Efficient Ensembling" (ICLR 2025): each member multiplies the embedded row by numbers of its own,
    passes it through the shared layers, and answers by a linear layer of its own. Members are trained on their own
    losses, and their answers are averaged: better than one network of any size, at the price of about three.

    Args:
      spec: what the data look like. An image is taken as its pixels.
      members: of the ensemble; None: by the rows of train and the budget, up to 32.
      width, depth: of the shared hidden layers.
      dropout: rate after each hidden layer.
      l1, l2: penalties on every kernel, or by kind of layer (hidden, output).
      proximal: whether l1 makes exact zeros, see `ProximalL1L2`.
      numbers: piecewise, periodic or plain, see `embed_columns`.
      embedding_width: of the vector of a number, unless they are plain.

    Returns:
      An uncompiled model from features (see `Spec`) to logits, float32 [rows, members, spec.num_outputs].

    Raises:
      ConfigError: a size, a rate or a penalty is out of range.

    Example:
      >>> tabm(Spec("binary", 2, num_numeric=3), members=4, width=8).output_shape
      (None, 4, 1)
    """
    check_rate(dropout)
    check_sizes(members=members, width=width, depth=depth)
    features = inputs(spec)
    x = embed_all(features, spec, numbers=numbers, width=embedding_width)
    members = members or members_of(spec, x.shape[-1], width, depth)
    sections = column_widths(spec, numbers=numbers, width=embedding_width, total=x.shape[-1])
    x = MemberInputs(members, signs=numbers == "plain", sections=sections, name="members")(x)
    for layer in range(depth):
        x = keras.layers.Dense(
            width,
            activation="relu",
            kernel_initializer=keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
            kernel_regularizer=kernel(l1, l2, "hidden", proximal),
            name=f"hidden_{layer}",
        )(x)
        x = MemberDropout(dropout)(x) if dropout else x
    output = MemberOutputs(spec.num_outputs, kernel(l1, l2, "output", proximal), name="output")(x)
    return keras.Model(features, output, name="tabm")
