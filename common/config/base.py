"""What every part of the configuration's model is made of."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """No unknown keys, no silent conversions of what matters, and no value in an error's text."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
