"""What requests and answers hold, as they are checked and described by OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class Text(BaseModel):
    """The text of one or several structures."""

    model_config = ConfigDict(extra="forbid", title="Text")

    text: Annotated[
        str, Field(min_length=1, description="A CIF, POSCAR, xyz, JSON, or formulas or SMILES, one a line.")
    ]
    name: Annotated[str, Field(max_length=200, description="What to call it, such as the name of the file.")] = ""
    form: Annotated[
        Literal["cif", "poscar", "xyz", "json", "formula", "smiles"] | None,
        Field(description="Its format; without it name and content tell."),
    ] = None


def _kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "words"
    if isinstance(value, Text) or (isinstance(value, dict) and "text" in value and len(value) < 10):
        return "text"
    return "record" if isinstance(value, dict) else None


One = Annotated[
    Annotated[Text, Tag("text")] | Annotated[dict[str, Any], Tag("record")] | Annotated[str, Tag("words")],
    Discriminator(
        _kind,
        custom_error_type="no_structure",
        custom_error_message="must be text, a text with a name and a format, or a dictionary",
    ),
    Field(
        description="The text of a structure, a formula, SMILES, a text with a name and a format, or a structure as "
        "pymatgen's as_dict gives it (OPTIMADE, JARVIS, ASE's todict and {'smiles': 'CCO'} are read, too)."
    ),
]


class StructuresRequest(BaseModel):
    """Structures."""

    model_config = ConfigDict(extra="forbid")

    structures: Annotated[
        list[One], Field(min_length=1, max_length=10_000, description="Structures, formulas, or both.")
    ]


class PredictRequest(StructuresRequest):
    """Structures to be predicted."""

    models: Annotated[
        list[Annotated[str, Field(max_length=64)]] | None,
        Field(max_length=100, description="Names of models; without it all that are served."),
    ] = None
    explain: Annotated[bool, Field(description="Whether to say which features decided; for some structures only.")] = (
        False
    )
    include_structures: Annotated[
        bool, Field(description="Whether to return the structures as they were read, to be shown.")
    ] = False


class Problem(BaseModel):
    """What is wrong with a request (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    failures: list[Failure] | None = None


class Failure(BaseModel):
    """A structure that could not be read or predicted."""

    row: Annotated[int, Field(description="Its place in the request, counted from 0.")]
    id: str
    step: str
    reason: str


class Reason(BaseModel):
    """What a group of features did to a prediction."""

    group: str
    n_features: int
    effect: Annotated[float, Field(description="Prediction minus what it were if the group were usual.")]
    absent: Annotated[bool, Field(description="Whether all features of the group are 0, such as those of an element.")]


class Way(BaseModel):
    """What groups of features did to a prediction, the largest effects first."""

    of: Annotated[str, Field(description="What the groups are: elements, species pairs, element properties …")]
    groups: list[Reason]


class Because(BaseModel):
    """Which features decided."""

    method: str
    unit: str
    ways: list[Way]


class Row(BaseModel):
    """A prediction for one structure or one atom; null stands for what is not known."""

    id: str
    structure: Annotated[int, Field(description="Its place in the request, counted from 0.")]
    atom: int | None = None
    value: float | str | None
    lower: float | None = None
    upper: float | None = None
    probabilities: dict[str, float | None] | None = None
    set: list[str] | None = None
    in_domain: bool
    distance: float | None
    doubt: Annotated[float | None, Field(description="How unusual it is by all signs; above 1 it is outside.")] = None
    in_training: bool | None = None
    warnings: list[str]
    in_words: str
    domain_in_words: str
    because: Because | None = None


class OfModel(BaseModel):
    """What one model says."""

    model: str
    target: str
    title: str
    unit: str
    classes: list[str]
    level: Annotated[float | None, Field(description="Probability with which intervals hold the truth.")]
    rows: list[Row]
    failures: list[Failure]


class Shown(BaseModel):
    """A structure as it was read."""

    id: str
    formula: str
    n_atoms: int | None
    symbols: list[str] | None = None
    positions: Annotated[list[list[float]] | None, Field(description="In Å.")] = None
    cell: Annotated[list[list[float]] | None, Field(description="Lattice vectors in Å.")] = None
    pbc: list[bool] | None = None


class PredictResponse(BaseModel):
    """Predictions of all models that were asked."""

    request_id: str
    structures: list[Shown]
    failures: Annotated[list[Failure], Field(description="What could not be read.")]
    models: list[OfModel]


class ModelCard(BaseModel):
    """What is to be known of a model, in short."""

    name: str
    target: str
    title: str
    unit: str
    kind: str
    level: str
    inputs: str
    classes: list[str]
    n_features: int
    loaded: str
    elements: list[str]
    training: dict[str, Any]
    interval: dict[str, Any] | None


class ModelList(BaseModel):
    """All models that are served."""

    models: list[ModelCard]


class Ready(BaseModel):
    """Whether the service takes requests."""

    ready: bool
    models: list[str]
    store: bool
    refused: Annotated[dict[str, str], Field(description="Model files that changed and could not be loaded.")]
    running: int
    waiting: int


class Live(BaseModel):
    """That the service runs."""

    live: bool
    version: str


class DescribeRequest(StructuresRequest):
    """Structures to be described."""

    parameters: Annotated[
        dict[str, float | int | str], Field(max_length=20, description="By name; what is not given is usual.")
    ] = {}


class Features(BaseModel):
    """Features of one structure, or of one atom."""

    id: str
    structure: Annotated[int, Field(description="Its place in the request, counted from 0.")]
    atom: int | None = None
    values: list[float]


class DescribeResponse(BaseModel):
    """Features of structures."""

    request_id: str
    descriptor: str
    parameters: dict[str, Any]
    names: list[str]
    rows: list[Features]
    failures: list[Failure]


class Described(BaseModel):
    """A descriptor, and what its parameters may be: numbers from and to, or words."""

    name: str
    summary: str
    parameters: dict[str, list[float] | list[str]]


class DescriptorList(BaseModel):
    """All descriptors that are computed."""

    descriptors: list[Described]


class SimilarRequest(BaseModel):
    """A structure, or for a store of formulas a formula, of which similar ones are sought."""

    model_config = ConfigDict(extra="forbid")

    structure: One
    k: Annotated[int, Field(ge=1, le=100, description="How many.")] = 10
    where: Annotated[
        str | None,
        Field(max_length=1000, description="Which rows, such as \"gap > 1 and 'O' in elements and n_atoms < 20\"."),
    ] = None
    explain: Annotated[bool, Field(description="Whether to say what makes up the distances of the first ten.")] = False


class Neighbour(BaseModel):
    """A known material."""

    id: str
    formula: str
    n_atoms: int | None
    distance: float
    targets: dict[str, float | int | str | bool | None]
    explanation: str | None


class SimilarResponse(BaseModel):
    """Known materials, the nearest first."""

    request_id: str
    in_words: str
    neighbours: list[Neighbour]


class StoreCard(BaseModel):
    """What is to be known of the store that is served."""

    rows: int
    descriptor: str
    parameters: dict[str, Any]
    inputs: str
    elements: list[str]
    columns: list[str]
    targets: list[str]
