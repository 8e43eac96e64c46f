"""Everything once before anybody asks: what is imported, compiled and kept at its first use."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress

from atomprint.service.bodies import PredictRequest
from atomprint.service.desk import Desk
from atomprint.service.forms import read_request
from atomprint.service.predicting import predict
from atomprint.service.problems import Problem, json_response
from atomprint.service.reading import read_sent
from atomprint.service.work import Ticket

_CIF = """data_{0}
_cell_length_a 6
_cell_length_b 6
_cell_length_c 6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{0} 0 0 0
{0} 0.5 0.5 0.5
"""


def warm(desk: Desk) -> None:
    """Answer a request for each model, of which nothing is kept."""
    ticket = Ticket(60.0)
    for served in desk.shelf.models.values():
        symbol = served.model.domain.to_dict()["elements"][-1]
        body = json.dumps({"structures": [_CIF.format(symbol), symbol]}).encode()
        with warnings.catch_warnings(), suppress(Problem):
            warnings.simplefilter("ignore")
            _, sent = read_request(PredictRequest, body, "application/json", desk.limits)
            found = read_sent(sent, desk.limits, ticket)
            json_response(predict(found, served, ticket, explain=True))
